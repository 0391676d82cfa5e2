from dataclasses import replace

import pytest

from diffbehav.compare.searched import Searched
from diffbehav.compare.verdict import verdict
from diffbehav.report.checkpoints import promise


def searched(*, exhausted: bool = True, unmeasured: int = 0) -> Searched:
    return Searched([], exhausted=exhausted, delta=0.05, level=0.05, calls=6000, calls_spent=900, unmeasured=unmeasured)


@pytest.mark.parametrize(
    ("statuses", "search", "unscored", "word"),
    [
        ([], None, 0, "NO_DIVERGENCE_FOUND"),
        ([], searched(), 0, "NO_DIVERGENCE_FOUND"),
        (["NOT CONFIRMED"], searched(), 0, "NO_DIVERGENCE_FOUND"),
        (["NOT TESTED"], None, 0, "INCONCLUSIVE"),
        (["INCONCLUSIVE"], searched(), 0, "INCONCLUSIVE"),
        ([], searched(exhausted=False), 0, "INCONCLUSIVE"),
        ([], searched(unmeasured=3), 0, "INCONCLUSIVE"),
        ([], None, 5, "INCONCLUSIVE"),
        (["CONFIRMED", "INCONCLUSIVE"], searched(), 0, "DIVERGENT"),
    ],
)
def test_only_a_search_that_measured_and_asked_everything_can_end_without_a_finding(
    statuses: list[str], search: Searched | None, unscored: int, word: str
) -> None:
    said = verdict(statuses, searched=search, conditions=100, collected=100, unscored=unscored, acting=0.2)
    assert said.word == word
    assert bool(said.reasons) == (word != "NO_DIVERGENCE_FOUND")


@pytest.mark.parametrize(("level", "said"), [(0.05, "5 %"), (0.025, "2.5 %"), (0.001, "0.1 %"), (0.0125, "1.25 %")])
def test_the_promise_names_the_false_discovery_rate_that_was_tested_and_not_a_rounded_one(
    level: float, said: str
) -> None:
    promised = [
        replace(searched(), level=level, delta=0.0125).promise(),
        promise({"level": level, "delta": 0.0125}, checkpoints=3)[0],
    ]
    for each in promised:
        assert f"at most {said} on average have a true excess-divergence rate of at most 1.25 points" in each


@pytest.mark.parametrize("statuses", [[], ["NOT TESTED"], ["INCONCLUSIVE"]])
def test_a_run_that_was_not_collected_whole_is_invalid_unless_a_rule_was_confirmed(statuses: list[str]) -> None:
    said = verdict(statuses, searched=searched(), conditions=100, collected=99, unscored=1, acting=None)
    assert said.word == "INVALID"
    assert said.reasons[0].startswith("1 of 100 conditions were not collected")
    statuses = [*statuses, "CONFIRMED"]
    confirmed = verdict(statuses, searched=searched(), conditions=100, collected=99, unscored=1, acting=None)
    assert confirmed.word == "DIVERGENT"


def test_a_candidate_that_acts_in_most_answers_under_no_rule_is_not_called_undivergent() -> None:
    said = verdict([], searched=searched(), conditions=100, collected=100, unscored=0, acting=0.98)
    assert said.word == "INCONCLUSIVE"
    assert said.reasons[0].startswith("over all conditions the candidate makes calls")
    assert "98 %" in said.reasons[0]
    confirmed = verdict(["CONFIRMED"], searched=searched(), conditions=100, collected=100, unscored=0, acting=0.98)
    assert confirmed.word == "DIVERGENT"
    assert any("outside of the confirmed rules" in reason for reason in confirmed.reasons)
