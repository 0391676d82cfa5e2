"""Rules that earlier runs confirmed, asked again before a search looks for anything new."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np

from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import digest
from diffbehav.search.calibration import Calibration, Measure
from diffbehav.search.code_rate import CodeRate
from diffbehav.search.confirm import Confirmed, confirm
from diffbehav.search.hunt import FIRE_QUANTILE, Hunt
from diffbehav.search.oracle import Oracle, Yardstick
from diffbehav.search.space import NoContextError, Space, is_date
from diffbehav.stats.eprocess import THRESHOLD
from diffbehav.stats.rule import Rule
from diffbehav.store import QueryError, RunFolder, open_untrusted, read_settings

LEAST_ORDINARY = 0.5
"""Share of the screen that has to stay for a threshold to be set beside all sentinels at once."""
NO_CONTEXT = "the suite leaves no context inside it, or none beside it to compare with"
NO_SCREEN = "no condition of the screen outside it has a score, so there is no threshold to fire above"


class UntestableError(Exception):
    """What keeps a rule of an earlier run from being asked under this suite."""


class Hypothesis(NamedTuple):
    """A rule is said to fire more often than tolerated."""

    rule: Rule
    measure: Measure
    """By what."""
    beside: tuple[Rule, ...]
    """Outside of which other rules."""


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A rule that earlier runs confirmed."""

    shown: Mapping[str, Any]
    """Factor -> levels, {"from", "to"} or {"absent": [...]}, as the earlier run shows it."""
    fingerprint: str
    """That of the earlier finding."""
    runs: tuple[str, ...]
    """Ids of the runs that confirmed it, in the order named."""
    rule: Rule | None
    """The rule under the suite of this run; None with `reason`."""
    reason: str | None
    measure: Measure
    """What its conditions fired by."""
    beside: tuple[Rule, ...] = ()
    """Rules outside of which it was confirmed, and is asked again; none with `reason`."""

    @property
    def hypothesis(self) -> Hypothesis | None:
        """What is asked; None with `reason`."""
        return None if self.rule is None else Hypothesis(self.rule, self.measure, self.beside)


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one sentinel."""

    tested: Confirmed | None
    reason: str | None
    """Why it was not tested; None where it was."""


class _Finding(NamedTuple):
    """What an earlier run confirmed, as it shows it."""

    rule: dict[str, Any]
    fingerprint: str
    measure: Measure
    beside: list[dict[str, Any]]


def read_sentinels(earlier: Sequence[Path], space: Space, *, run: Path) -> list[Sentinel]:
    """The CONFIRMED findings of the `earlier` runs, each rule once; InputError where one of them is `run` itself."""
    found: dict[str, Sentinel] = {}
    for path in earlier:
        if path.resolve() == run.resolve():
            raise InputError(f"--sentinels {path} is the run that is searched; name runs from before it")
        run_id = read_settings(RunFolder(path))["run_id"]
        for finding in _confirmed(RunFolder(path)):
            sentinel = _sentinel(finding, run_id, space)
            key = f"{sentinel.measure} {sentinel.rule or sentinel.shown}"
            known = found.get(key)
            runs = sentinel.runs if known is None else tuple(dict.fromkeys([*known.runs, *sentinel.runs]))
            found[key] = replace(known or sentinel, runs=runs)
    return list(found.values())


def rule_of(shown: Mapping[str, Any], space: Space) -> Rule:
    """A rule as it is shown, as one over the factors of `space`; UntestableError where one or its levels are gone.

    An interval of dates takes in every date of the suite from its first to its last day.
    """
    inside = {}
    for name, levels in shown.items():
        if name not in space.names:
            raise UntestableError(f"the suite has no factor {name!r} any more")
        factor = space.names.index(name)
        codes = _codes(levels, name, space.levels[factor])
        if not codes or len(codes) == len(space.levels[factor]):
            raise UntestableError(f"{'all levels' if codes else 'no level'} of {name!r} would be inside")
        inside[factor] = codes
    return Rule(tuple(sorted(inside)), tuple(inside[factor] for factor in sorted(inside)))


async def ask_sentinels(rules: Sequence[Hypothesis], hunt: Hunt, oracle: Oracle) -> list[Asked]:
    """Test each rule on fresh matched pairs; what was tested is added to `hunt.sentinels`."""
    asked = []
    screened = [each for each in rules if each.measure == Calibration.measure]
    for number, each in enumerate(rules, start=1):
        name = f"sentinel {number} of {len(rules)}"
        yardstick = CodeRate() if each.measure == CodeRate.measure else _calibration(each, screened, hunt)
        one = Asked(None, NO_SCREEN) if yardstick is None else await _ask(each, name, yardstick, hunt, oracle)
        asked.append(one)
        if one.tested is not None:
            hunt.sentinels.append(one.tested)
    return asked


def _calibration(asked: Hypothesis, rules: Sequence[Hypothesis], hunt: Hunt) -> Calibration | None:
    calibration = hunt.calibration(*(rule for each in rules for rule in (each.rule, *each.beside)))
    if len(calibration.score_C) < LEAST_ORDINARY * len(hunt.screen.digits_CA):
        calibration = hunt.calibration(asked.rule, *asked.beside)
    return calibration if len(calibration.score_C) else None


async def _ask(asked: Hypothesis, name: str, yardstick: Yardstick, hunt: Hunt, oracle: Oracle) -> Asked:
    oracle.calibration, oracle.space = yardstick, hunt.space.beside(asked.beside)
    hunt.on_step(name, oracle)

    def on_pairs(pairs: int, inside: int, outside: int, log_e: float) -> None:
        evidence = f"{pairs} pairs, {inside} fire inside and {outside} outside, e-value {np.exp(log_e):.3g}"
        hunt.on_step(f"{name}: {evidence} of {THRESHOLD:.0f}", oracle)

    rng = np.random.default_rng(int(digest([hunt.seed, "sentinel", str(asked.rule)])[:16], 16))
    threshold = yardstick.threshold(FIRE_QUANTILE)
    try:
        tested = await confirm(asked.rule, oracle, threshold=threshold, delta=hunt.delta, rng=rng, on_pairs=on_pairs)
    except NoContextError:
        return Asked(None, NO_CONTEXT)
    return Asked(tested if tested.untested is None else None, tested.untested)


def _confirmed(run: RunFolder) -> list[_Finding]:
    with open_untrusted(run.database) as connection:
        try:
            rows = connection.execute(
                "SELECT rule, fingerprint, flagged_by, beside FROM findings WHERE status = 'CONFIRMED' ORDER BY rank"
            ).fetchall()
        except QueryError as error:
            raise IntegrityError(
                f"{run.database} refuses to be read: {error}; build it again with `diffbehav compare {run.path}`"
            ) from error
    return [
        _Finding(_checked(rule, _is_rule, run), print_, _measure(by, run), _checked(beside, _are_rules, run))
        for rule, print_, by, beside in rows
    ]


def _checked(text: str, is_meant: Callable[[Any], bool], run: RunFolder) -> Any:
    """The JSON of a rule, or of several, which may come from somebody else."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise IntegrityError(f"{run.database}: rule {text!r} is no JSON") from error
    if not is_meant(found):
        raise IntegrityError(f"{run.database}: {text!r} is no rule over factors")
    return found


def _are_rules(rules: Any) -> bool:
    return isinstance(rules, list) and all(map(_is_rule, rules))


def _measure(flagged_by: str, run: RunFolder) -> Measure:
    if flagged_by not in get_args(Measure):
        raise IntegrityError(f"{run.database}: findings are not flagged by {flagged_by!r}")
    return cast(Measure, flagged_by)


def _is_rule(rule: Any) -> bool:
    return isinstance(rule, dict) and len(rule) > 0 and all(map(_is_levels, rule.values()))


def _is_levels(levels: Any) -> bool:
    if isinstance(levels, dict):
        if levels.keys() == {"from", "to"}:
            return all(isinstance(end, str) for end in levels.values())
        return levels.keys() == {"absent"} and _is_levels(levels["absent"]) and isinstance(levels["absent"], list)
    return isinstance(levels, list) and all(isinstance(level, str) for level in levels)


def _sentinel(finding: _Finding, run_id: str, space: Space) -> Sentinel:
    shown, fingerprint, measure, beside = finding
    try:
        rule, others = rule_of(shown, space), tuple(rule_of(each, space) for each in beside)
        return Sentinel(shown, fingerprint, (run_id,), rule, None, measure, others)
    except UntestableError as error:
        return Sentinel(shown, fingerprint, (run_id,), None, str(error), measure)


def _codes(levels: Any, name: str, known: Sequence[str]) -> tuple[int, ...]:
    if isinstance(levels, dict) and "from" in levels:
        if not all(map(is_date, known)):
            raise UntestableError(f"the levels of {name!r} are no longer dates")
        return tuple(code for code, level in enumerate(known) if levels["from"] <= level <= levels["to"])
    named = levels["absent"] if isinstance(levels, dict) else levels
    gone = [level for level in named if level not in known]
    if gone:
        raise UntestableError(f"{name!r} has no level {', '.join(map(repr, gone))} any more")
    return tuple(code for code, level in enumerate(known) if (level in named) != isinstance(levels, dict))
