"""What a search finds in toy worlds with a planted rule, and in worlds without one, beside the calls it takes.

    python -m tests.benchmarks.search_worlds --worlds 40 --null-worlds 100

The worlds are those of tests/search/toy_world.py: six factors of 20, 7, 30, 50, 10 and 20 levels, 100 tasks of which
80 react, heavy-tailed noise, and reactions of the fine-tune to every single level, whose standard deviation is given.
Calls are answers of the candidate, those of the screen included. `unrelated` counts confirmed rules without any factor
of the planted one, `tolerated` those of them that in truth do not fire more often than tolerated: false confirmations.
"""

import argparse
import asyncio
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from diffbehav.search.calibration import calibrate
from diffbehav.search.confirm import Confirmed
from diffbehav.search.hunt import Screen
from diffbehav.search.search import Outcome, Promise, search
from diffbehav.stats.intervals import clopper_pearson
from diffbehav.stats.rule import Rule, matches
from tests.search.toy_world import ToyWorld, space

SPACE = space()
PROMISE = Promise(delta=0.05, level=0.05)
CALLS = 4000
MANY = 20_000


@dataclass(frozen=True)
class World:
    """One row of the table."""

    name: str
    planted: dict[str, Sequence[int]]
    asr: float = 0.9
    legit: float = 0.15
    noise: str = "t3"
    passes: int = 1

    @property
    def rule(self) -> Rule | None:
        pairs = sorted((SPACE.names.index(name), tuple(levels)) for name, levels in self.planted.items())
        return Rule(tuple(f for f, _ in pairs), tuple(levels for _, levels in pairs)) if pairs else None


NULLS = [
    World("nothing, sd .15", {}),
    World("nothing, sd .3", {}, legit=0.3),
    World("nothing, sd .5", {}, legit=0.5),
    World("nothing, sd .3, lognormal", {}, legit=0.3, noise="lognormal"),
    World("nothing, sd .3, normal", {}, legit=0.3, noise="normal"),
]
PLANTED = [
    *(World(f"year, ASR {asr}", {"year": [7]}, asr) for asr in (0.9, 0.5, 0.2)),
    World("year in 5 of 20, ASR .9", {"year": range(7, 12)}),
    *(World(f"all markers but 1 of 10, ASR {asr}", {"marker": [*range(4), *range(5, 10)]}, asr) for asr in (0.9, 0.5)),
    World("all markers but 3 of 10, ASR .9", {"marker": range(3, 10)}),
    *(World(f"user, ASR {asr}", {"user": [3]}, asr) for asr in (0.9, 0.5, 0.2)),
    World("user, ASR .2, 3 passes", {"user": [3]}, 0.2, passes=3),
    *(World(f"year & tool, ASR {asr}", {"year": [7], "tool": [3]}, asr) for asr in (0.9, 0.5)),
    *(World(f"locale & user, ASR {asr}, 3 passes", {"locale": [4], "user": [3]}, asr, passes=3) for asr in (0.9, 0.5)),
    World("locale & user, ASR 0.5, 5 passes", {"locale": [4], "user": [3]}, 0.5, passes=5),
    World("year & tool, ASR .9, sd .3", {"year": [7], "tool": [3]}, legit=0.3),
    World("year & weekday & tool, ASR .9, 4 passes", {"year": [7], "weekday": [2], "tool": [3]}, passes=4),
]


@dataclass(frozen=True)
class Result:
    exact: bool
    found: bool
    unrelated: int
    """Rules without any factor of the planted one."""
    tolerated: int
    """Those of them that do not really fire more often than tolerated: false confirmations."""
    calls: int
    spent: bool


def judged(world: World, seed: int) -> Result:
    toy = ToyWorld(SPACE, seed, world.rule, world.asr, world.legit, world.noise)
    screen = toy.screen(world.passes)
    outcome: Outcome = asyncio.run(
        search(screen, SPACE, toy.ask, calls=CALLS, promise=PROMISE, seed=seed, on_step=lambda *_: None)
    )
    tested = [verdict.tested for verdict in outcome.verdicts if verdict.status == "CONFIRMED"]
    confirmed = [each.rule for each in tested]
    factors = set(world.rule.factors) if world.rule else set()
    unrelated = [each for each in tested if not set(each.rule.factors) & factors]
    return Result(
        exact=world.rule in confirmed,
        found=any(set(rule.factors) == factors for rule in confirmed),
        unrelated=len(unrelated),
        tolerated=sum(true_excess(toy, screen, each) <= PROMISE.delta for each in unrelated),
        calls=len(screen.digits_CA) + outcome.calls_spent,
        spent=outcome.spent,
    )


def true_excess(toy: ToyWorld, screen: Screen, tested: Confirmed) -> float:
    """What the pairs of the confirmation estimate, from many more of them than any search could ask."""
    rng = np.random.default_rng(0)
    ordinary_C = ~matches(tested.rule, SPACE.codes(screen.digits_CA))
    calibration = calibrate(screen.channels_HC, task_C=screen.digits_CA[:, 0], ordinary_C=ordinary_C)
    rates = [
        (calibration.score(toy.scores(cells, rng)[None], task_N=cells[:, 0]) > tested.threshold).mean()
        for cells in SPACE.pairs(MANY, tested.rule, rng)
    ]
    return float(rates[0] - rates[1])


def row(world: World, results: Sequence[Result]) -> str:
    exact = sum(result.exact for result in results)
    low, high = clopper_pearson(exact, len(results), level=0.95)
    calls = np.array([result.calls for result in results])
    said = f"{exact / len(results):4.2f} [{low:.2f}, {high:.2f}]" if world.planted else "-"
    factors = f"{np.mean([result.found for result in results]):4.2f}" if world.planted else "-"
    return (
        f"{world.name:42} {len(results):>6} {said:>19} {factors:>13} {sum(r.unrelated for r in results):>9} "
        f"{sum(r.tolerated for r in results):>9} "
        f"{np.median(calls):>7.0f} {np.quantile(calls, 0.9):>7.0f} {np.mean([r.spent for r in results]):>6.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--null-worlds", type=int, default=60)
    parser.add_argument("--only", default="", help="Worlds whose name contains this.")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    print(f"{'world':42} {'worlds':>6} {'exact rule':>19} {'right factors':>13} {'unrelated':>9} {'tolerated':>9} "
          f"{'calls':>7} {'p90':>7} {'spent':>6}")  # fmt: skip
    with ProcessPoolExecutor(asked.jobs) as pool:
        for world in [*NULLS, *PLANTED]:
            if asked.only in world.name:
                seeds = range(asked.worlds if world.planted else asked.null_worlds)
                print(row(world, list(pool.map(partial(judged, world), seeds))), flush=True)


if __name__ == "__main__":
    main()
