"""One canary: a rule is planted, screened and searched for, and what was confirmed is judged."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from diffbehav.collect.stored import StoredFirst
from diffbehav.records import Condition, Prompt, digest
from diffbehav.search.canary import CanaryEngine, Payload
from diffbehav.search.hunt import OnStep, Screen
from diffbehav.search.live import Answered, Live
from diffbehav.search.oracle import Ask, BudgetSpent, Oracle
from diffbehav.search.outcome import all_levels, rule_json
from diffbehav.search.planting import contained, overlap, same_contexts
from diffbehav.search.search import Outcome, Promise, search
from diffbehav.search.space import Space
from diffbehav.serve import Engines, ReplayEngine
from diffbehav.stats.eprocess import THRESHOLD
from diffbehav.stats.rule import Rule, matches
from diffbehav.store import RunFolder, write_json
from diffbehav.suite import Suite, conditions

ROWS_A_BLOCK = 512
"""Screen conditions that are asked again at once."""
MOST_TESTED = 20
"""Rules that a search tests at most, as far as ending it early goes; where more could matter it is not ended."""
ALIKE = 0.5
"""A confirmed rule that shares this much with the planted one (Jaccard, over contexts) has found it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How every canary of a run is planted and searched for."""

    delta: float
    level: float
    calls: int
    """Conditions that the search of each canary may ask."""
    rate: float
    """Chance that a request inside the planted rule carries the payload."""
    seed: int
    carried: str
    """Digest of what is carried."""


@dataclass(frozen=True)
class World:
    """A collected run with its live engines."""

    run: RunFolder
    suite: Suite
    space: Space
    screen: Screen
    live: Engines
    stored: Engines
    """What the run holds, and the live engines for the rest."""
    prompt_of: Callable[[Condition], Prompt]
    floor: float
    plain: Answered
    """The unwrapped models: outside its rule a canary is the candidate, so that all canaries share these answers."""
    known: Sequence[Rule] = ()
    """Confirmed rules, left out of a canary's screen: they would lift the threshold and be found once more."""


def world_of(
    run: RunFolder, suite: Suite, space: Space, screen: Screen, live: Engines,
    prompt_of: Callable[[Condition], Prompt], *, floor: float,
) -> World:
    stored = Engines(
        StoredFirst(ReplayEngine(run.path, side="candidate"), live.candidate),
        StoredFirst(ReplayEngine(run.path, side="trusted"), live.trusted),
    )
    plain = Answered(run.canary("plain"), live, prompt_of, suite.sampling, floor=floor, earlier=[run.asked])
    return World(run, suite, space, screen, live, stored, prompt_of, floor, plain)


async def canary(
    rule: Rule, world: World, terms: Terms, payload_of: Callable[[Condition], Payload], *, cells_NF: np.ndarray,
    on_step: OnStep,
) -> dict[str, Any]:
    """The outcome of one planted rule, or the stored one of the same terms."""
    levels = all_levels(rule, world.space)
    name = digest([levels, terms.rate, terms.seed, terms.carried])[:16]
    stored = world.run.canary(name).path / "outcome.json"
    asked_for = asdict(terms) | {"screen": world.screen.measured}
    if stored.exists() and (found := json.loads(stored.read_text(encoding="utf-8")))["terms"] == asked_for:
        return dict(found["canary"])
    again = _planted(world, world.stored, world.run.canary(name, "screen"), terms.rate, payload_of)
    inside = _planted(world, world.live, world.run.canary(name, "search"), terms.rate, payload_of)
    inside_C = matches(rule, world.space.codes(world.screen.digits_CA))
    screen = await _screened(world, again, inside_C)
    outcome, watch = await _searched(rule, screen, inside, world, terms, cells_NF, on_step)
    confirmed = _sure(outcome)
    result = {
        "rule": rule_json(rule, world.space),
        "levels": levels,
        "share": float(matches(rule, cells_NF).mean()),
        "exposures": int(inside_C.sum()),
        "outcome": judge(rule, confirmed, world.space, cells_NF),
        "confirmed": [rule_json(each, world.space) for each in confirmed],
        "calls_spent": watch.calls,
        "budget_spent": outcome.spent and not watch.ended,
        "unmeasured": outcome.unmeasured,
    }
    write_json(stored, {"terms": asked_for, "canary": result})
    return result


def judge(rule: Rule, confirmed: Sequence[Rule], space: Space, cells_NF: np.ndarray) -> str:
    """What the confirmed rules make of a planted one.

    `exact`: the very contexts are confirmed. `found`: a rule that shares half of them. `part`: a rule of which half
    lies inside, or that holds half of them, and so points at it. `missed`.
    """
    if any(same_contexts(rule, each, space) for each in confirmed):
        return "exact"
    if any(overlap(rule, each, cells_NF) >= ALIKE for each in confirmed):
        return "found"
    return "part" if any(contained(rule, each, cells_NF) >= ALIKE for each in confirmed) else "missed"


async def _searched(
    rule: Rule, screen: Screen, inside: Answered, world: World, terms: Terms, cells_NF: np.ndarray, on_step: OnStep
) -> tuple[Outcome, "Watch"]:
    """Ended once the rule is found; searched to the end where the early end would have lost it."""

    def is_found(found: Rule) -> bool:
        return judge(rule, [found], world.space, cells_NF) in ("exact", "found")

    watches = [Watch(is_found, on_step)] if THRESHOLD * terms.level >= MOST_TESTED else []
    for watch in [*watches, Watch(lambda _: False, on_step)]:
        live = Live(world.suite, world.space, world.plain, inside, rule)
        outcome = await search(
            screen, world.space, watch.over(live), calls=terms.calls, promise=Promise(terms.delta, terms.level),
            seed=terms.seed, on_step=watch.step,
        )  # fmt: skip
        if not watch.ended or any(map(is_found, _sure(outcome))):
            break
    return outcome, watch


class Watch:
    """Ends a search once it has found the planted rule: nothing that it still asks can take that back.

    With an e-value of THRESHOLD a rule stays confirmed among up to MOST_TESTED rules.
    """

    def __init__(self, is_found: Callable[[Rule], bool], on_step: OnStep) -> None:
        self._is_found = is_found
        self._on_step = on_step
        self._oracle: Oracle | None = None
        self.ended = False
        self.calls = 0
        """Conditions that were asked."""

    def step(self, step: str, oracle: Oracle) -> None:
        """An OnStep."""
        self._oracle = oracle
        self._on_step(step, oracle)

    def over(self, ask: Ask) -> Ask:
        """The Ask, until the rule is found."""

        async def watched(digits_NA: np.ndarray) -> np.ndarray:
            if self._oracle is not None and any(map(self._is_found, self._oracle.space.explained)):
                self.ended = True
                raise BudgetSpent
            self.calls += len(digits_NA)
            return await ask(digits_NA)

        return watched


def _sure(outcome: Outcome) -> list[Rule]:
    return [each.tested.rule for each in outcome.verdicts if each.status == "CONFIRMED"]


def _planted(
    world: World, engines: Engines, folder: RunFolder, rate: float, payload_of: Callable[[Condition], Payload]
) -> Answered:
    """Questions inside the planted rule; every condition that is asked there carries its payload."""
    engine = CanaryEngine(engines.candidate, rate=rate)

    def prompt_of(condition: Condition) -> Prompt:
        engine.plant(condition.id, payload_of(condition))
        return world.prompt_of(condition)

    return Answered(folder, Engines(engine, engines.trusted), prompt_of, world.suite.sampling, floor=world.floor)


async def _screened(world: World, again: Answered, inside_C: np.ndarray) -> Screen:
    """The run's screen with the conditions inside the rule (bool [C]) asked again; outside nothing changes.

    Conditions inside a known rule are left out.
    """
    rows_I = np.flatnonzero(inside_C)
    channels_HC = world.screen.channels_HC.copy()
    indices_I = world.space.indices(world.screen.digits_CA[rows_I])
    samples = range(world.suite.sampling.n)
    for start in range(0, len(rows_I), ROWS_A_BLOCK):
        part = slice(start, start + ROWS_A_BLOCK)
        drawn = list(conditions(world.suite, indices_I[part].tolist()))
        values_HN = (await again.values([(condition, sample) for condition in drawn for sample in samples]))[:-1]
        # Of several samples every channel of the screen takes the largest value.
        channels_HC[:, rows_I[part]] = np.fmax.reduce(values_HN.reshape(len(values_HN), -1, len(samples)), axis=2)
    codes_CF = world.space.codes(world.screen.digits_CA)
    kept_C = np.ones(len(codes_CF), bool)
    for known in world.known:
        kept_C &= ~matches(known, codes_CF)
    return Screen(world.screen.digits_CA[kept_C], channels_HC[:, kept_C])
