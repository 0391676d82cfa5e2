"""A loaded suite: its declarations, checked, under the names the rest of the package uses."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from diffbehav.errors import InputError
from diffbehav.records import Sampling
from diffbehav.suite import checks
from diffbehav.suite.editor import json_schema
from diffbehav.suite.invalid import invalid_fields
from diffbehav.suite.levels import derived_levels
from diffbehav.suite.model import (
    CoveringDesign,
    EngineFactor,
    FullDesign,
    LevelList,
    PooledList,
    RandomDesign,
    SuiteFile,
)
from diffbehav.suite.pooled import Pool, axes, pool
from diffbehav.suite.problems import Source, refusal, show_at
from diffbehav.suite.strict_yaml import YamlError, parse
from diffbehav.suite.world_checks import world_variables


@dataclass(frozen=True, eq=False)
class Suite:
    """Tasks, factors, design and sampling of one suite file."""

    declared: SuiteFile
    """The file's content, validated."""
    name: str
    """The file it came from, as shown in errors; not part of the digest."""
    source: Source = field(repr=False)

    @property
    def id(self) -> str:
        """Name of the suite."""
        return self.declared.id

    @property
    def version(self) -> str:
        """Version of its content."""
        return self.declared.version

    @property
    def description(self) -> str:
        """What it covers."""
        return self.declared.description

    @property
    def design(self) -> FullDesign | RandomDesign | CoveringDesign:
        """Which cells are asked."""
        return self.declared.design

    @property
    def max_turns(self) -> int:
        """Turns of the model after which a conversation ends; calls are answered where it is above 1."""
        return self.declared.max_turns

    @property
    def replicate(self) -> float:
        """Share of the conditions that the trusted model answers twice."""
        return self.declared.replicate

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn."""
        table = self.declared.sampling
        return Sampling(
            n=table.n, temperature=table.temperature, max_tokens=table.max_tokens, seed=table.seed
        )

    @cached_property
    def task_ids(self) -> tuple[str, ...]:
        """The tasks, in order."""
        return tuple(task.id for task in self.declared.tasks)

    @cached_property
    def factor_names(self) -> tuple[str, ...]:
        """The axes that the declared factors make, in order: the factor itself, or one axis a level if pooled."""
        return tuple(axes(self.declared.factors))

    @cached_property
    def pools(self) -> Mapping[str, Pool]:
        """Pooled factor -> its axes."""
        declared = self.declared.factors.items()
        return MappingProxyType({name: pool(name, each) for name, each in declared if isinstance(each, PooledList)})

    @cached_property
    def engine_factor(self) -> str | None:
        """The factor over engine settings; None where every condition is served in one way."""
        found = [name for name, each in self.declared.factors.items() if isinstance(each, EngineFactor)]
        return found[0] if found else None

    @cached_property
    def engine_settings(self) -> Mapping[str, Mapping[str, Any]]:
        """Level of the engine factor -> arguments of vLLM that it sets; empty without such a factor."""
        factor = self.declared.factors.get(self.engine_factor or "")
        if not isinstance(factor, EngineFactor):
            return MappingProxyType({})
        return MappingProxyType({level: setting.model_dump() for level, setting in factor.levels.items()})

    @cached_property
    def derived_names(self) -> Mapping[str, str]:
        """Derived factor -> the declared factor it is computed from."""
        return MappingProxyType({name: derived.source for name, derived in self.declared.derived.items()})

    @cached_property
    def _levels(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, Sequence[str]] = {"task": self.task_ids}
        found |= axes(self.declared.factors)
        for name, derived in self.declared.derived.items():
            found[name] = derived_levels(found[derived.source], part=derived.part)
        return found

    def levels_of(self, name: str) -> Sequence[str]:
        """The levels on an axis or of a derived factor, or the task ids for `task`."""
        return self._levels[name]

    @cached_property
    def unused_factors(self) -> tuple[str, ...]:
        """Factors that change nothing: in no template, even derived, offering no tool and setting no engine."""
        used = {self.engine_factor} - {None}
        for task in self.declared.tasks:
            for _, message in checks.message_paths(self.declared, task):
                used |= checks.variables_of(message)
        if self.declared.world is not None:
            used |= world_variables(self.declared.world)
        used |= {source for name, source in self.derived_names.items() if name in used}
        for name, factor in self.declared.factors.items():
            if isinstance(factor, PooledList):
                axis_of = self.pools[name].axes
                used |= {axis for level, axis in axis_of.items() if name in used or level in factor.offers}
            elif isinstance(factor, LevelList) and factor.offers:
                used.add(name)
        return tuple(name for name in self.factor_names if name not in used)

    def resolved(self) -> dict[str, Any]:
        """The suite as JSON, every default filled in; the order of the keys is part of the content."""
        return self.declared.model_dump(mode="json", by_alias=True)

    @cached_property
    def digest(self) -> str:
        """sha256 of the resolved content. Order counts: it numbers the cells and shapes the tools as sent."""
        text = json.dumps(self.resolved(), separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def load_suite(path: Path | str) -> Suite:
    """The suite in the YAML file `path`; InputError shows everything that is wrong with it."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(
            f"error[suite.unreadable]: {path}  {error.strerror}\n  fix: name a suite file"
        ) from error
    except UnicodeDecodeError as error:
        message = (
            f"error[suite.encoding]: {path}  byte {error.start} is not UTF-8\n  fix: save the file as UTF-8"
        )
        raise InputError(message) from error
    return suite_from_text(text.removeprefix("\ufeff"), name=str(path))


def suite_from_text(text: str, *, name: str) -> Suite:
    """The suite written in `text`; `name` is shown in errors."""
    bare = Source(name=name, text=text, root=None)
    try:
        root = parse(text)
    except YamlError as error:
        shown = show_at(
            bare, id="suite.yaml", place=error.place, path="", reason=error.reason, fix=error.remedy
        )
        raise InputError(shown) from error
    return _checked(root.value(), Source(name=name, text=text, root=root))


def suite_from_resolved(resolved: Mapping[str, Any], *, name: str) -> Suite:
    """The suite that `Suite.resolved` gave; `name` is shown in errors."""
    return _checked(dict(resolved), Source(name=name, text="", root=None))


def _checked(content: Any, source: Source) -> Suite:
    try:
        declared = SuiteFile.model_validate(content)
    except ValidationError as error:
        raise refusal(source, invalid_fields(error, noun="suite", schema=json_schema())) from error
    found = checks.problems(declared)
    if found:
        raise refusal(source, found)
    return Suite(declared=declared, name=source.name, source=source)
