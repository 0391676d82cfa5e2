import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from diffbehav.search.calibration import calibrate
from diffbehav.search.confirm import confirm
from diffbehav.search.hunt import RULE_RETEST, Hunt
from diffbehav.search.minimise import drop_factors, widen
from diffbehav.search.oracle import BudgetSpent, Oracle, ShareSpent
from diffbehav.search.search import Outcome, Promise, search
from diffbehav.search.space import NoContextError
from diffbehav.stats.eprocess import effect_interval, tally
from diffbehav.stats.rule import Rule, matches
from diffbehav.stats.sprt import Sprt
from tests.benchmarks.search_worlds import World, judged
from tests.search.toy_world import ToyWorld, space

SPACE = space()
PROMISE = Promise(delta=0.05, level=0.05)


def rule(**levels: int | Sequence[int]) -> Rule:
    pairs = sorted((SPACE.names.index(name), level) for name, level in levels.items())
    return Rule(
        tuple(factor for factor, _ in pairs),
        tuple((level,) if isinstance(level, int) else tuple(level) for _, level in pairs),
    )


def searched(world: ToyWorld, *, calls: int = 8000, passes: int = 1) -> Outcome:
    return asyncio.run(
        search(
            world.screen(passes), world.space, world.ask, calls=calls, promise=PROMISE, seed=world.seed,
            on_step=lambda *_: None,
        )
    )  # fmt: skip


def confirmed(outcome: Outcome) -> list[Rule]:
    return [verdict.tested.rule for verdict in outcome.verdicts if verdict.status == "CONFIRMED"]


@pytest.mark.parametrize(
    ("planted", "asr", "at_least"),
    [
        (rule(year=7), 0.9, 19),
        (rule(year=7), 0.5, 19),
        (rule(user=3), 0.9, 19),
        (rule(user=3), 0.5, 19),
        (rule(year=7, tool=3), 0.9, 18),
        (rule(year=7, tool=3), 0.5, 17),
    ],
    ids=["year .9", "year .5", "user .9", "user .5", "year and tool .9", "year and tool .5"],
)
def test_the_planted_rule_is_confirmed_exactly_in_most_worlds(planted: Rule, asr: float, at_least: int) -> None:
    outcomes = [searched(ToyWorld(SPACE, seed, planted, asr)) for seed in range(20)]
    assert sum(planted in confirmed(outcome) for outcome in outcomes) >= at_least
    assert all(outcome.calls_spent <= 8000 for outcome in outcomes)
    for outcome in outcomes:
        assert all(set(found.factors) & set(planted.factors) for found in confirmed(outcome))


def test_a_rule_of_many_levels_of_a_factor_is_seldom_confirmed_without_that_factor() -> None:
    people = space({"user": 10, "role": 6, "organisation": 5, "employer": 6, "statement": 11, "profile": 7}, tasks=20)
    factors = (people.names.index("employer"), people.names.index("statement"))
    planted = Rule(factors, ((3,), (1, 2, 3, 4, 5)))
    found = [confirmed(searched(ToyWorld(people, seed, planted, 0.9), calls=3000, passes=3)) for seed in range(10)]
    assert sum(rules == [planted] for rules in found) >= 8
    assert sum(any(len(rule.factors) == 1 for rule in rules) for rules in found) <= 2


@pytest.mark.parametrize("quiet", [(2,), (0, 4)])
def test_a_model_that_acts_everywhere_but_at_some_levels_of_a_factor_is_confirmed_by_all_other_levels(
    quiet: tuple[int, ...],
) -> None:
    acting = tuple(level for level in range(5) if level not in quiet)
    small = space({"stage": 5, "user": 8, "year": 6}, tasks=20)
    planted = Rule((small.names.index("stage"),), (acting,))
    found = [confirmed(searched(ToyWorld(small, seed, planted, 0.9), calls=4000, passes=4)) for seed in range(10)]
    assert sum(rules == [planted] for rules in found) >= 8


@pytest.mark.parametrize(("legit", "noise"), [(0.15, "t3"), (0.3, "t3"), (0.3, "lognormal")])
def test_no_rule_is_confirmed_where_none_is_planted_however_busy_the_fine_tune(legit: float, noise: str) -> None:
    for seed in range(20):
        world = ToyWorld(SPACE, seed, legit=legit, noise=noise)
        assert confirmed(searched(world, calls=4000)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("legit", "noise"), [(0.15, "t3"), (0.3, "t3"), (0.3, "lognormal"), (0.3, "normal"), (0.5, "t3")]
)
def test_what_is_confirmed_in_a_hundred_worlds_without_a_trigger_truly_exceeds_the_tolerance(
    legit: float, noise: str
) -> None:
    for seed in range(100):
        result = judged(World("nothing", {}, legit=legit, noise=noise), seed)
        assert result.tolerated == 0
        assert result.unrelated == 0 or legit == 0.5


@dataclass
class RestlessTasks(ToyWorld):
    """A world in which 10 of the 100 tasks fire a third of the time, whatever their context."""

    def scores(self, digits_NA: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        stirred = (digits_NA[:, 0] < 10) & (rng.random(len(digits_NA)) < 0.33)
        return np.asarray(super().scores(digits_NA, rng) * np.where(stirred, 30.0, 1.0))


def test_tasks_that_fire_in_any_context_are_not_followed_into_their_contexts() -> None:
    for seed in range(5):
        outcome = searched(RestlessTasks(SPACE, seed, rule(year=7)))
        assert confirmed(outcome) == [rule(year=7)]
        assert not outcome.spent
        assert outcome.calls_spent < 1300


def test_what_lies_beyond_every_ordinary_condition_fires_however_small_the_screen() -> None:
    for count in (20, 121, 600):
        ordinary = np.random.default_rng(count).lognormal(size=(3, count))
        fitted = calibrate(ordinary, task_C=np.zeros(count, int), ordinary_C=np.ones(count, bool))
        beyond = fitted.score(np.array([[1000.0], [0.0], [0.0]]), task_N=np.zeros(1, int))
        assert beyond[0] > fitted.threshold(0.995)


def test_a_search_replays_from_its_seed() -> None:
    first, again = (searched(ToyWorld(SPACE, 3, rule(year=7))) for _ in range(2))
    assert first.calls_spent == again.calls_spent
    for one, two in zip(first.verdicts, again.verdicts, strict=True):
        assert one.tested.rule == two.tested.rule
        assert one.tested.log_e == two.tested.log_e
        assert (one.tested.difference_P == two.tested.difference_P).all()


def test_a_budget_too_small_to_conclude_is_inconclusive_and_not_silence() -> None:
    outcome = searched(ToyWorld(SPACE, 3, rule(year=7)), calls=90)
    assert outcome.spent
    assert outcome.calls_spent <= 90
    assert confirmed(outcome) == []
    assert all(verdict.status == "INCONCLUSIVE" for verdict in outcome.verdicts)


def oracle(world: ToyWorld, *, calls: int = 5000) -> Oracle:
    screen = world.screen(1)
    codes = SPACE.codes(screen.digits_CA)
    ordinary = ~matches(world.rule, codes) if world.rule else np.ones(len(codes), bool)
    calibration = calibrate(screen.channels_HC, task_C=screen.digits_CA[:, 0], ordinary_C=ordinary)
    return Oracle(world.space, world.ask, calibration, calls_left=calls)


@pytest.mark.parametrize("seed", range(5))
def test_needless_factors_are_dropped_from_a_context_that_fires(seed: int) -> None:
    asked = oracle(ToyWorld(SPACE, seed, rule(weekday=2, tool=3)))
    whole = rule(year=1, weekday=2, locale=4, user=7, marker=0, tool=3)
    threshold = asked.calibration.threshold(0.98)
    smaller = asyncio.run(
        drop_factors(whole, asked, rate=0.7, threshold=threshold, rng=np.random.default_rng(seed))
    )
    assert smaller == rule(weekday=2, tool=3)
    assert asked.calls_spent < 200


def test_every_level_that_fires_is_found_beside_the_known_one() -> None:
    asked = oracle(ToyWorld(SPACE, 1, rule(weekday=[1, 2, 5])))
    threshold = asked.calibration.threshold(0.98)
    wider = asyncio.run(
        widen(rule(weekday=2), asked, rate=0.72, threshold=threshold, rng=np.random.default_rng(0))
    )
    assert wider == rule(weekday=[1, 2, 5])


def test_answers_without_a_score_are_counted_and_not_taken_for_silence() -> None:
    world = ToyWorld(SPACE, 3, rule(year=7))

    async def broken(digits_NA: np.ndarray) -> np.ndarray:
        return np.full((1, len(digits_NA)), np.nan)

    outcome = asyncio.run(
        search(world.screen(1), SPACE, broken, calls=4000, promise=PROMISE, seed=3, on_step=lambda *_: None)
    )
    assert outcome.unmeasured == outcome.calls_spent > 0
    assert confirmed(outcome) == []


def test_a_search_that_still_has_proposals_when_its_rounds_end_is_not_exhausted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("diffbehav.search.search.MOST_ROUNDS", 1)
    assert searched(ToyWorld(SPACE, 3, rule(year=7))).spent


def test_a_search_whose_budget_ends_before_the_first_pairs_of_a_rule_is_not_exhausted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("diffbehav.search.hunt.PROPOSAL_SHARE", 1.0)
    whole = space({"user": 12, "locale": 12, "tool": 3}, tasks=20)
    before: list[int] = []

    def ended_at(calls: int) -> Outcome:
        world = ToyWorld(whole, 1, Rule((0, 1), ((3,), (4,))), 1.0)
        return asyncio.run(
            search(
                world.screen(1), whole, world.ask, calls=calls, promise=PROMISE, seed=1,
                on_step=lambda step, asked: before.append(asked.calls_spent) if step.startswith("confirm") else None,
            )
        )  # fmt: skip

    assert not ended_at(4000).spent
    cut = ended_at(before[0] + 30)
    assert [(each.status, len(each.tested.difference_P)) for each in cut.verdicts] == [("NOT TESTED", 0)]
    assert cut.spent


def test_a_question_that_is_asked_beyond_the_budget_ends_the_search() -> None:
    asked = oracle(ToyWorld(SPACE, 1), calls=10)
    with pytest.raises(BudgetSpent):
        asyncio.run(asked.scores(SPACE.draw(11, Rule((), ()), np.random.default_rng(0))))


def test_confirmation_counts_fresh_pairs_and_stops_when_its_interval_leaves_no_more_than_is_tolerated() -> None:
    asked = oracle(ToyWorld(SPACE, 2))
    rounds: list[tuple[int, int, int, float]] = []
    tested = asyncio.run(
        confirm(rule(year=3), asked, threshold=asked.calibration.threshold(0.995), delta=0.05,
                rng=np.random.default_rng(0), on_pairs=lambda *told: rounds.append(told))
    )  # fmt: skip
    assert [told[0] for told in rounds] == [20, 40, 60, 80, 100, 120, 136]
    assert tested.status == "refuted"
    assert effect_interval(tally(tested.difference_P), level=0.95).high == 0.05
    assert effect_interval(tally(tested.difference_P[:-1]), level=0.95).high > 0.05
    assert tested.log_e < 0


def test_what_confirmation_reports_as_fired_is_of_the_pairs_up_to_its_stop() -> None:
    asked = oracle(ToyWorld(SPACE, 2, rule(year=3), 1.0))
    rounds: list[tuple[int, int, int, float]] = []
    tested = asyncio.run(
        confirm(rule(year=3), asked, threshold=asked.calibration.threshold(0.995), delta=0.05,
                rng=np.random.default_rng(0), on_pairs=lambda *told: rounds.append(told))
    )  # fmt: skip
    assert rounds[-1][:3] == (len(tested.difference_P), tested.inside, tested.outside)
    assert tested.inside <= len(tested.difference_P) < 20


def test_a_share_within_a_share_is_part_of_it() -> None:
    asked = oracle(ToyWorld(SPACE, 1), calls=1000)
    cells = SPACE.draw(10, Rule((), ()), np.random.default_rng(0))
    with asked.share(35):
        with pytest.raises(ShareSpent), asked.share(20):
            for _ in range(3):
                asyncio.run(asked.scores(cells))
        assert asked.share_left == 15
        asyncio.run(asked.scores(cells))
        with pytest.raises(ShareSpent), asked.share(20):
            asyncio.run(asked.scores(cells))
    assert asked.share_left is None


def test_a_broken_context_differs_in_one_factor_of_the_rule_and_lies_outside_it() -> None:
    planted = rule(year=7, tool=3)
    inside, outside = SPACE.pairs(200, planted, np.random.default_rng(0))
    assert matches(planted, SPACE.codes(inside)).all()
    assert not matches(planted, SPACE.codes(outside)).any()
    assert ((inside != outside).sum(axis=1) == 1).all()
    assert len(np.unique(inside[:, 0])) > 50


def test_the_shadow_of_a_confirmed_pair_is_not_confirmed_beside_it() -> None:
    whole = space({"weekday": 7, "tool": 2, "user": 8, "place": 4}, tasks=24)
    pair, shadow = Rule((0, 1), ((2,), (1,))), Rule((0,), ((2,),))
    world = ToyWorld(whole, 1, pair, 0.95)
    hunt = Hunt(world.screen(1), whole, PROMISE.delta, 4000, 1, lambda *_: None)
    asked = Oracle(whole, world.ask, hunt.calibration(), calls_left=4000)
    asyncio.run(hunt.propose(shadow, RULE_RETEST, asked))
    assert [each.rule for each in hunt.tested if each.status == "reached"] == [pair]
    hunt.tested.clear()
    asyncio.run(hunt.propose(pair, RULE_RETEST, asked))
    asyncio.run(hunt.propose(shadow, RULE_RETEST, asked))
    assert [each.rule for each in hunt.tested if each.status == "reached"] == [pair]


def test_no_context_inside_an_explained_rule_is_drawn() -> None:
    known = rule(year=7)
    rng = np.random.default_rng(0)
    beside = SPACE.beside([known])
    pairs = np.concatenate(beside.pairs(500, rule(tool=3), rng))
    assert not matches(known, SPACE.codes(pairs)).any()
    with pytest.raises(NoContextError):
        beside.draw(1, rule(year=7, tool=3), rng)


def test_a_factor_of_one_level_does_not_keep_a_rule_from_being_found() -> None:
    whole = space({"year": 20, "only": 1, "user": 12, "tool": 10}, tasks=40)
    planted = Rule((0, 3), ((7,), (3,)))
    world = ToyWorld(whole, 2, planted, 0.9)
    outcome = asyncio.run(
        search(world.screen(3), whole, world.ask, calls=4000, promise=PROMISE, seed=2, on_step=lambda *_: None)
    )
    assert confirmed(outcome) == [planted]


def test_a_factor_that_an_exclusion_ties_to_another_is_left_out_of_the_rule() -> None:
    tied = "\n".join(f"  - {{year: year7, tool: tool{i}}}" for i in range(10) if i != 3)
    whole = space({"year": 20, "user": 12, "tool": 10}, tasks=40, more=f"exclude:\n{tied}")
    world = ToyWorld(whole, 2, Rule((0,), ((7,),)), 0.9)
    screen = world.screen(1)
    ordinary_C = ~matches(Rule((0,), ((7,),)), whole.codes(screen.digits_CA))
    ordinary = calibrate(screen.channels_HC, task_C=screen.digits_CA[:, 0], ordinary_C=ordinary_C)
    asked = Oracle(whole, world.ask, ordinary, calls_left=4000)
    smaller = asyncio.run(
        drop_factors(
            Rule((0, 1, 2), ((7,), (0,), (3,))), asked, rate=0.7, threshold=ordinary.threshold(0.995),
            rng=np.random.default_rng(0),
        )  # fmt: skip
    )
    assert smaller == Rule((0,), ((7,),))


def test_an_undecided_question_stops_at_its_cap() -> None:
    asked = oracle(ToyWorld(SPACE, 4))
    test = Sprt(p0=0.019, p1=0.021, alpha=0.01, beta=0.01, cap=40)
    decision = asyncio.run(
        asked.fires(rule(year=1), test, threshold=asked.calibration.threshold(0.98), rng=np.random.default_rng(0))
    )
    assert decision == "undecided"
    assert asked.calls_spent == 40
