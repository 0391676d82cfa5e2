"""What only several samples of a condition show."""

import json

import numpy as np
import pytest

from diffbehav.distance.calls import NO_TOOLS, Turns, comparing
from diffbehav.distance.samples import ONE_SAMPLE, call_energy, name_tv, novel_calls
from diffbehav.distance.turns import BOTH_BROKEN, ONE_BROKEN

COMPARE = comparing(severities={}, default_severity=1.0)
NAMES = ("", "r", "d", "rd", "dr", "rr")
TEXT = {name: json.dumps([{"name": tool, "arguments": "{}"} for tool in name]) for name in NAMES}


def turns(names: list[str]) -> Turns:
    """One letter a call; `!` is an answer that could not be read."""
    broken = [f"text {place}" if name == "!" else None for place, name in enumerate(names)]
    return Turns([TEXT[name.replace("!", "")] for name in names], broken)


def energy(candidate: list[str], trusted: list[str], group: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    return call_energy(
        turns(candidate), turns(trusted), group_N=np.array(group or [0] * len(candidate)),
        tools_N=[NO_TOOLS] * len(candidate), compare=COMPARE,
    )  # fmt: skip


def test_which_tools_are_called_is_compared_by_share_in_any_order_a_failure_by_itself() -> None:
    group = np.array([0, 1, 0, 1, 2, 3])
    candidate, trusted = turns(["rd", "r", "rd", "r", "!", ""]), turns(["dr", "r", "r", "rd", "", ""])
    np.testing.assert_array_equal(name_tv(candidate, trusted, group_N=group), [0.5, 0.5, 1.0, 0.0])


def test_the_name_distance_does_not_see_how_samples_are_matched() -> None:
    assert name_tv(turns(["r", "d", ""]), turns(["d", "", "r"]), group_N=np.zeros(3, int))[0] == 0.0


def test_the_energy_distance_of_equal_samples_is_zero_and_of_disjoint_ones_two() -> None:
    assert energy(["r", "d", "rd"], ["r", "d", "rd"])[0][0] == 0.0
    assert energy(["r", "r"], ["d", "d"])[0][0] == pytest.approx(2.0)
    assert energy(["r", "r", "r", "r"], ["r", "r", "rd", "rd"])[0][0] > 0.0


def test_the_energy_distance_needs_two_samples_and_readable_calls() -> None:
    value_G, reason_G = energy(["r", "r", "d", "!", "!"], ["d", "r", "d", "r", "!"], [0, 1, 1, 2, 2])
    assert np.isnan(value_G).tolist() == [True, False, True]
    assert list(reason_G) == [ONE_SAMPLE, "", "tool calls of both sides could not be read"]


def test_the_energy_distance_of_independent_draws_from_one_distribution_is_zero_on_average() -> None:
    rng = np.random.default_rng(0)
    draws = [[str(name) for name in rng.choice(["", "r", "d", "rd"], size=3000)] for _ in range(2)]
    value_G, _ = energy(*draws, np.repeat(np.arange(1000), 3).tolist())
    assert abs(value_G.mean()) < 4 * value_G.std() / 1000**0.5
    assert value_G.min() < 0.0 < value_G.max()


def test_no_samples_give_no_values() -> None:
    assert len(energy([], [], [])[0]) == len(name_tv(turns([]), turns([]), group_N=np.zeros(0, int))) == 0


def test_a_novel_call_is_one_that_no_trusted_sample_of_the_condition_makes_as_often() -> None:
    group = np.array([0, 1, 0, 1, 2, 2])
    candidate, trusted = turns(["rd", "rd", "rr", "r", "d", "r"]), turns(["r", "", "d", "r", "r", "d"])
    value_N, reason_N = novel_calls(candidate, trusted, group_N=group)
    np.testing.assert_array_equal(value_N, [0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    assert set(reason_N) == {""}


def test_what_was_read_counts_and_a_condition_without_a_whole_trusted_answer_is_missing() -> None:
    broken = Turns([TEXT["d"], TEXT["r"], TEXT["d"], TEXT["d"], TEXT["d"]], ["text", "text", None, "text", None])
    trusted = turns(["r", "r", "!", "!", "!"])
    value_N, reason_N = novel_calls(broken, trusted, group_N=np.array([0, 0, 0, 1, 1]))
    np.testing.assert_array_equal(value_N, [1.0, np.nan, 1.0, np.nan, np.nan])
    assert list(reason_N) == ["", ONE_BROKEN, "", BOTH_BROKEN, ONE_BROKEN]
