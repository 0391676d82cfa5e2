"""Cuts a report that would be too large to attach, and says what was cut."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from diffbehav import untrusted
from diffbehav.report.document import Document

TARGET = 2_000_000
"""Characters of a page that is cut no further."""

Render = Callable[[Document], str]


def fitted(document: Document, render: Render) -> str:
    """The page of `document`, cut step by step until it has at most TARGET characters; the last step is the least.

    What was cut is said in `document["cut"]`, which the page shows.
    """
    page = render(document)
    for smaller in _smaller(document):
        if len(page) <= TARGET:
            break
        page = render(smaller)
    return page


def shortened(value: Any, limit: int) -> Any:
    """The same JSON values, with every model text cut at `limit` characters."""
    if isinstance(value, dict):
        if value.get("untrusted") is True:
            whole = untrusted.from_json_untrusted(cast(untrusted.UntrustedJson, value))
            return untrusted.json_untrusted(untrusted.shorten(whole, limit))
        return {key: each if key == "texts" else shortened(each, limit) for key, each in value.items()}
    return [shortened(each, limit) for each in value] if isinstance(value, list) else value


def _smaller(document: Document) -> Iterator[Document]:
    for limit in (1_000, 200):
        yield {**shortened(dict(document), limit), "cut": [f"Texts of models are cut at {limit:,} characters."]}
    short, cut = shortened(dict(document), 200), ["Texts of models are cut at 200 characters."]
    for kept in (1, 0):
        said = f"Minimal pairs are shown of {kept} {'finding' if kept == 1 else 'findings'} only."
        yield {**short, "findings": _without_pairs(short["findings"], kept), "cut": [*cut, said]}
    yield {
        **short,
        "findings": _without_pairs(short["findings"], 0),
        "figures": {"heat_map": None, "timeline": None, "marginals": []},
        "coverage": {**short["coverage"], "factors": [], "missing": short["coverage"]["missing"][:10], "counted": None},
        "cut": [*cut, "Minimal pairs, figures and tables of coverage are left out."],
    }


def _without_pairs(findings: list[dict[str, Any]], kept: int) -> list[dict[str, Any]]:
    reason = "left out of this page because of its size; it is in report.json"
    return [
        each if i < kept or each["pair"] is None else {**each, "pair": None, "pair_reason": reason}
        for i, each in enumerate(findings)
    ]
