"""The address of a page: all that a page depends on beside its run, so that a pasted link shows the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from diffbehav.report.factors import TASK, Factor

LONGEST = 4_000
"""Characters of a query string that are read."""


@dataclass(frozen=True, slots=True)
class View:
    """A path and its query string."""

    path: str
    values: Mapping[str, tuple[str, ...]]

    def get(self, key: str, default: str = "") -> str:
        """The last value of `key`."""
        return self.values.get(key, (default,))[-1]

    def number(self, key: str) -> int:
        """The value of `key` as a count, 0 where it is none."""
        value = self.get(key)
        return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        """The value of `key` if it is allowed, else the first of `allowed`."""
        value = self.get(key)
        return value if value in allowed else allowed[0]

    def filters(self, factors: Sequence[Factor]) -> dict[str, list[str]]:
        """`f=factor:level`, repeated; only factors and levels of the run count."""
        levels = {factor.name: [level.name for level in factor.levels] for factor in factors}
        found: dict[str, list[str]] = {}
        for value in self.values.get("f", ()):
            name, _, level = value.partition(":")
            if name == TASK or level in levels.get(name, ()):
                found.setdefault(name, []).append(level)
        return found

    def href(self, **changes: str | Sequence[str] | None) -> str:
        """The same page with these values in place of its own; None removes one. Pages of a table start anew."""
        values = {key: each for key, each in self.values.items() if key != "p"}
        for key, value in changes.items():
            values[key] = () if value is None else (value,) if isinstance(value, str) else tuple(value)
        return address(self.path, values)


def address(path: str, values: Mapping[str, Sequence[str]]) -> str:
    """`path` with a query string."""
    query = urlencode([(key, value) for key, each in values.items() for value in each])
    return f"{path}?{query}" if query else path


def run_path(run_id: str, *rest: str) -> str:
    """The path of a page of a run."""
    return "/".join(["/run", *(quote(part, safe="") for part in (run_id, *rest))])


def parsed(path: str, search: str) -> View:
    """The view of a path and a query string as a browser gives them."""
    values: dict[str, tuple[str, ...]] = {}
    for key, value in parse_qsl(search.removeprefix("?")[:LONGEST], max_num_fields=200, keep_blank_values=False):
        values[key] = (*values.get(key, ()), value)
    return View(path, values)
