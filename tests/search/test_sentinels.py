import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffbehav.compare.searched import read_search
from diffbehav.errors import InputError, IntegrityError
from diffbehav.search.confirm import NO_CALLS
from diffbehav.search.outcome import all_levels, outcome_json, rule_json
from diffbehav.search.search import Outcome, Promise, search
from diffbehav.search.sentinels import Hypothesis, Sentinel, UntestableError, read_sentinels, rule_of
from diffbehav.search.space import Space
from diffbehav.stats.eprocess import log_e_value, tally
from diffbehav.stats.rule import Rule
from diffbehav.store import RunFolder, building, write_json
from tests.search.test_search import rule
from tests.search.toy_world import ToyWorld, space

SPACE = space()
PROMISE = Promise(delta=0.05, level=0.05)
DATES = ["2025-11-04", "2025-12-02", "2026-01-06", "2026-02-03", "2026-03-03"]


def searched(
    world: ToyWorld, sentinels: Sequence[Rule], *, calls: int = 4000, promise: Promise = PROMISE
) -> Outcome:  # fmt: skip
    return asyncio.run(
        search(
            world.screen(1), SPACE, world.ask, calls=calls, promise=promise, seed=world.seed,
            on_step=lambda *_: None, sentinels=[Hypothesis(each, "screen_score", ()) for each in sentinels],
        )
    )  # fmt: skip


def statuses(outcome: Outcome) -> list[str]:
    return [each if isinstance(each, str) else each.status for each in outcome.sentinels]


def dated(levels: Sequence[str] = DATES) -> Space:
    """A toy space with a factor of dates."""
    named = space({"day": len(levels), "tool": 3}, 4)
    return replace(named, levels=(tuple(levels), *named.levels[1:]))


def earlier_run(path: Path, *rules: tuple[dict[str, Any], str], beside: Sequence[dict[str, Any]] = ()) -> Path:
    """A run folder with nothing but its id and these findings, rule and status, tested outside of those `beside`."""
    path.mkdir()
    write_json(RunFolder(path).settings, {"run_id": path.name})
    with building(RunFolder(path).database, []) as builder:
        for rank, (shown, status) in enumerate(rules, start=1):
            tested = "NULL, NULL" if status == "NOT TESTED" else "0.3, 0.7"
            builder.execute(
                f"""INSERT INTO findings VALUES ('F{rank}', {rank}, $rule, '{status}', 'text', 3, 0.5, {tested}, 0.5,
                0.3, 0.7, 0, 20, 10, NULL, NULL, NULL, 'none', 'screen_score', NULL, 'none', 'f{rank}', $beside,
                NULL)""",
                rule=json.dumps(shown), beside=json.dumps(beside),
            )
    return path


def test_a_rule_that_still_fires_is_confirmed_on_forty_pairs_at_most_and_not_searched_for_again() -> None:
    for seed in range(8):
        outcome = searched(ToyWorld(SPACE, seed, rule(year=7), 0.9), [rule(year=7)])
        assert statuses(outcome) == ["CONFIRMED"]
        assert len(outcome.sentinels[0].tested.difference_P) <= 40
        assert all(each.tested.rule != rule(year=7) for each in outcome.verdicts)


def test_a_rule_that_is_gone_is_not_confirmed_and_its_interval_says_what_can_be_left() -> None:
    for seed in range(8):
        (verdict,) = searched(ToyWorld(SPACE, seed), [rule(year=7)]).sentinels
        assert verdict.status == "NOT CONFIRMED"
        assert 60 < len(verdict.tested.difference_P) <= 400
        assert verdict.effect.low < 0 < verdict.effect.high <= PROMISE.delta


def test_of_two_rules_the_one_that_is_left_is_confirmed_and_a_new_one_is_still_found() -> None:
    world = ToyWorld(SPACE, 1, rule(user=3), 0.9)
    outcome = searched(world, [rule(year=7), rule(user=3)])
    assert statuses(outcome) == ["NOT CONFIRMED", "CONFIRMED"]
    outcome = searched(ToyWorld(SPACE, 1, rule(user=3), 0.9), [rule(year=7)], calls=8000)
    assert statuses(outcome) == ["NOT CONFIRMED"]
    assert [each.tested.rule for each in outcome.verdicts if each.status == "CONFIRMED"] == [rule(user=3)]


def test_a_sentinel_that_the_search_finds_again_is_one_rule_that_is_tested_once() -> None:
    undecided, close = 0, Promise(delta=0.3, level=0.05)
    for seed in range(6):
        outcome = searched(ToyWorld(SPACE, seed, rule(year=7), 0.4), [rule(year=7)], promise=close)
        assert all(each.tested.rule != rule(year=7) for each in outcome.verdicts)
        tested = outcome.sentinels[0].tested
        undecided += tested.status == "spent"
        assert np.isclose(tested.log_e, log_e_value(tally(tested.difference_P), delta=close.delta))
    assert undecided


def test_a_sentinel_for_which_no_calls_are_left_is_not_taken_for_gone() -> None:
    outcome = searched(ToyWorld(SPACE, 1, rule(year=7)), [rule(year=7), rule(user=3)], calls=40)
    assert outcome.sentinels[1] == NO_CALLS


def test_no_sentinel_is_confirmed_where_nothing_is_planted() -> None:
    rules = [rule(year=level) for level in range(10)]
    for seed in range(10):
        outcome = searched(ToyWorld(SPACE, seed, legit=0.3), rules, calls=1000)
        assert "CONFIRMED" not in statuses(outcome)


def test_a_rule_is_read_back_from_every_form_it_is_shown_in() -> None:
    for each in (rule(year=7), rule(year=[1, 2, 9], tool=3), rule(user=[level for level in range(50) if level != 4])):
        assert rule_of(rule_json(each, SPACE), SPACE) == each
        assert rule_of(all_levels(each, SPACE), SPACE) == each
    days = dated()
    day = days.names.index("day")
    interval = Rule((day,), ((2, 3, 4),))
    assert rule_json(interval, days) == {"day": {"from": "2026-01-06", "to": "2026-03-03"}}
    assert rule_of(rule_json(interval, days), days) == interval


def test_an_interval_of_dates_is_read_over_the_dates_of_the_new_suite() -> None:
    days = dated(["2025-12-30", "2026-01-20", "2026-02-20", "2026-04-01"])
    read = rule_of({"day": {"from": "2026-01-06", "to": "2026-03-03"}}, days)
    assert all_levels(read, days) == {"day": ["2026-01-20", "2026-02-20"]}


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ({"place": ["x"]}, "no factor 'place'"),
        ({"year": ["year7", "year99"]}, "no level 'year99'"),
        ({"year": {"absent": ["year99"]}}, "no level 'year99'"),
        ({"year": {"from": "2026-01-01", "to": "2026-02-01"}}, "no longer dates"),
        ({"year": [f"year{level}" for level in range(20)]}, "all levels of 'year'"),
    ],
)
def test_a_rule_whose_factor_or_level_is_gone_says_which(shown: dict[str, Any], reason: str) -> None:
    with pytest.raises(UntestableError, match=reason):
        rule_of(shown, SPACE)


def test_confirmed_findings_of_several_runs_are_asked_once_each_and_the_others_not_at_all(tmp_path: Path) -> None:
    first = earlier_run(tmp_path / "first", ({"year": ["year7"]}, "CONFIRMED"), ({"user": ["user1"]}, "NOT TESTED"))
    second = earlier_run(tmp_path / "second", ({"year": ["year7"]}, "CONFIRMED"), ({"gone": ["x"]}, "CONFIRMED"))
    found = read_sentinels([first, second], SPACE, run=tmp_path / "now")
    assert [(each.rule, each.runs) for each in found] == [(rule(year=7), ("first", "second")), (None, ("second",))]
    assert found[1].reason == "the suite has no factor 'gone' any more"


def test_the_run_itself_and_a_rule_that_is_none_are_refused(tmp_path: Path) -> None:
    run = earlier_run(tmp_path / "run", ({"year": 7}, "CONFIRMED"))
    with pytest.raises(InputError, match="is the run that is searched"):
        read_sentinels([run], SPACE, run=run)
    with pytest.raises(IntegrityError, match="is no rule"):
        read_sentinels([run], SPACE, run=tmp_path)


def test_what_became_of_sentinels_is_read_back_from_the_outcome_and_a_confirmed_one_is_a_tested_rule(
    tmp_path: Path,
) -> None:
    asked = Sentinel({"year": ["year7"]}, "f1", ("first",), rule(year=7), None, "screen_score")
    gone = Sentinel(
        {"gone": ["x"]}, "f2", ("first",), None, "the suite has no factor 'gone' any more", "screen_score"
    )
    outcome = searched(ToyWorld(SPACE, 1, rule(year=7), 0.9), [rule(year=7)])
    found = outcome_json(outcome, SPACE, promise=PROMISE, seed=1, calls=4000, sentinels=[gone, asked], screened=1)
    write_json(RunFolder(tmp_path).search, found)
    back = read_search(RunFolder(tmp_path), interval_level=0.95)
    assert back is not None
    assert [(each.status, each.reason) for each in back.sentinels] == [
        ("NOT TESTED", gone.reason), ("CONFIRMED", None)
    ]  # fmt: skip
    assert [each.levels for each in back.tested if each.status == "CONFIRMED"] == [{"year": ["year7"]}]
    assert np.isclose(back.tested[-1].effect, outcome.sentinels[0].tested.difference_P.mean())
