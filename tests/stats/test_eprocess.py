import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from diffbehav.stats.eprocess import Tally, confirm_status, effect_interval, log_e_value, running_tally, tally

DELTA = 0.05
BOUNDARY = pytest.mark.parametrize(
    ("up", "down"),
    [(0.05, 0.0), (0.07, 0.02), (0.3, 0.25), (0.525, 0.475)],
    ids=["no controls", "quiet", "busy", "no ties"],
)
DIFFERENCES = st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60)


def pairs(seed: int, rules: int, *, up: float, down: float, length: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).choice([1, 0, -1], (rules, length), p=[up, 1 - up - down, down]).astype(np.int8)


def fired(seed: int, rules: int, *, rate: float, control: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((rules, 400)) < rate).astype(int) - (rng.random((rules, 400)) < control)


def slow_capital(differences: list[int], delta: float) -> float:
    capitals = []
    for stake in (0.1, 0.3, 0.5, 0.7, 0.9):
        capital = 1.0
        for x in differences:
            capital *= 1 + stake * (x - delta) / (1 + delta)
        capitals.append(capital)
    return sum(capitals) / 5


@settings(deadline=None)
@given(DIFFERENCES, st.floats(-0.9, 0.9))
def test_the_path_is_the_product_of_the_bets_pair_by_pair(differences: list[int], delta: float) -> None:
    path = log_e_value(running_tally(differences), delta=delta)
    slow = [slow_capital(differences[:n], delta) for n in range(len(differences) + 1)]
    np.testing.assert_allclose(np.exp(path), slow, rtol=1e-9)
    np.testing.assert_allclose(log_e_value(tally(differences), delta=delta), path[-1])


@BOUNDARY
@pytest.mark.parametrize("length", [1, 10, 40])
def test_the_mean_at_the_boundary_is_exactly_one(up: float, down: float, length: int) -> None:
    """Summed over every possible count of `length` pairs."""
    ups, downs = (grid.ravel() for grid in np.meshgrid(np.arange(length + 1), np.arange(length + 1)))
    possible = ups + downs <= length
    counts = Tally(ups[possible], length - ups[possible] - downs[possible], downs[possible])
    chance = multinomial.pmf(np.stack(counts, axis=-1), length, [up, 1 - up - down, down])
    np.testing.assert_allclose(chance.sum(), 1.0)
    np.testing.assert_allclose(chance @ np.exp(log_e_value(counts, delta=DELTA)), 1.0)
    assert chance @ np.exp(log_e_value(counts, delta=DELTA + 0.02)) < 1


@BOUNDARY
def test_the_simulated_mean_at_the_boundary_is_at_most_one_at_fixed_times_and_at_the_stop(
    up: float, down: float
) -> None:
    differences = pairs(1, 5000, up=up, down=down)
    path = np.exp(log_e_value(running_tally(differences), delta=DELTA))
    at_stop = np.exp(confirm_status(differences, delta=DELTA).log_e)
    for e in (path[:, 20], path[:, 60], at_stop):
        assert e.mean() <= 1 + 4 * e.std() / np.sqrt(len(e))


@BOUNDARY
def test_at_the_boundary_the_stopping_rule_reaches_its_threshold_at_most_once_in_400(up: float, down: float) -> None:
    status = confirm_status(pairs(2, 10000, up=up, down=down), delta=DELTA).status
    nominal = 1 / 400
    assert (status == "reached").mean() <= nominal + 3 * np.sqrt(nominal / 10000)
    assert not (status == "open").any()


def exact_stop(up: float, down: float, *, most_ups: int, most_downs: int) -> tuple[float, float, float]:
    """E W at the stop, P(reached) and P(refuted), summed over all paths; more ups or downs have no weight."""
    ups, downs = np.meshgrid(np.arange(most_ups + 1), np.arange(most_downs + 1), indexing="ij")
    going = np.zeros(ups.shape)
    going[0, 0] = 1.0
    mean = reached = refuted = 0.0
    for n in range(1, 401):
        moved = going * (1 - up - down)
        moved[1:] += up * going[:-1]
        moved[:, 1:] += down * going[:, :-1]
        counts = Tally(ups, np.maximum(n - ups - downs, 0), downs)
        capital = np.exp(log_e_value(counts, delta=DELTA))
        negated = Tally(counts.down, counts.same, counts.up)
        high, low = capital >= 400, np.exp(log_e_value(negated, delta=-DELTA)) >= 40
        stops = high | low | (n == 400)
        mean += (moved * capital)[stops].sum()
        reached += moved[high].sum()
        refuted += moved[low].sum()
        going = np.where(stops, 0.0, moved)
    return mean, reached, refuted


@pytest.mark.parametrize(("up", "down", "most_ups", "most_downs"), [(0.05, 0.0, 70, 1), (0.07, 0.02, 90, 45)])
def test_over_all_paths_the_stopped_value_is_an_e_value_and_the_size_below_one_in_400(
    up: float, down: float, most_ups: int, most_downs: int
) -> None:
    mean, reached, refuted = exact_stop(up, down, most_ups=most_ups, most_downs=most_downs)
    assert mean == pytest.approx(1.0)
    assert reached < 1 / 1000
    status = confirm_status(pairs(9, 4000, up=up, down=down), delta=DELTA).status
    assert refuted < 0.025
    assert (status == "refuted").mean() == pytest.approx(refuted, abs=4 * np.sqrt(refuted * (1 - refuted) / 4000))


@pytest.mark.parametrize(
    ("rate", "mean_pairs", "power"),
    [
        (0.9, 17, 1.0),
        (0.7, 22, 1.0),
        (0.5, 34, 1.0),
        (0.3, 72, 1.0),
        (0.2, 154, 0.995),
        (0.12, None, 0.22),
        (0.07, None, 0.0),
    ],
)
def test_the_planning_table_of_power_is_reproduced(rate: float, mean_pairs: int | None, power: float) -> None:
    """Control rate 0.02, threshold 1000, 400 pairs."""
    path = log_e_value(running_tally(fired(3, 1500, rate=rate, control=0.02)), delta=DELTA)
    crosses = path >= np.log(1000)
    found = crosses.any(axis=1)
    assert abs(found.mean() - power) <= 0.003 + 4 * np.sqrt(power * (1 - power) / 1500)
    if mean_pairs:
        assert crosses.argmax(axis=1)[found].mean() == pytest.approx(mean_pairs, rel=0.05)


def test_a_strong_rule_is_reached_early_and_later_pairs_do_not_count() -> None:
    stopped = confirm_status([1] * 30 + [-1] * 80, delta=DELTA)
    cut = confirm_status([1] * int(stopped.pairs), delta=DELTA)
    assert stopped.status == cut.status == "reached"
    assert stopped.pairs == cut.pairs <= 15
    assert stopped.log_e == cut.log_e >= np.log(400)
    assert confirm_status([1] * (int(stopped.pairs) - 1), delta=DELTA).status == "open"


def test_a_rule_of_which_nothing_fires_is_refuted_after_106_pairs_and_no_pair_earlier() -> None:
    nothing = confirm_status(np.zeros(200, dtype=int), delta=DELTA)
    assert (str(nothing.status), int(nothing.pairs)) == ("refuted", 106)
    assert str(confirm_status(np.zeros(105, dtype=int), delta=DELTA).status) == "open"


def test_a_few_quiet_pairs_that_leave_thrice_the_tolerated_excess_possible_refute_nothing() -> None:
    quiet = np.zeros(60, dtype=int)
    quiet[[10, 40]] = 1
    assert effect_interval(tally(quiet), level=0.95).high > 3 * DELTA
    assert str(confirm_status(quiet, delta=DELTA).status) == "open"


@settings(deadline=None)
@given(st.integers(0, 999), st.floats(0.0, 0.2), st.floats(0.0, 0.3), st.sampled_from([0.0, 0.025, 0.05, 0.1, 0.5]))
def test_a_rule_is_refuted_at_the_first_pair_at_which_its_shown_interval_lies_at_or_below_the_tolerated(
    seed: int, rate: float, control: float, delta: float
) -> None:
    differences = fired(seed, 1, rate=rate, control=control)[0]
    stopped = confirm_status(differences, delta=delta)
    path = running_tally(differences)
    low = np.flatnonzero(effect_interval(path, level=0.95).high <= delta)
    if str(stopped.status) == "refuted":
        assert low[0] == stopped.pairs
    else:
        assert not len(low) or low[0] > stopped.pairs


@pytest.mark.parametrize(("rate", "control"), [(0.06, 0.0), (0.08, 0.02), (0.31, 0.25)])
def test_a_rule_that_exceeds_the_tolerated_a_little_is_refuted_in_at_most_one_test_of_forty(
    rate: float, control: float
) -> None:
    status = confirm_status(fired(4, 4000, rate=rate, control=control), delta=DELTA).status
    assert (status == "refuted").mean() <= 0.025


def test_a_rule_that_fires_often_and_no_more_than_its_controls_is_left_undecided_by_400_pairs() -> None:
    status = confirm_status(fired(6, 1000, rate=0.15, control=0.15), delta=DELTA).status
    assert (status == "spent").mean() > 0.6 and (status == "reached").mean() <= 1 / 400


def test_a_rule_just_above_the_margin_is_spent_after_400_pairs() -> None:
    every_fifteenth = np.tile([1] + [0] * 14, 40)
    spent = confirm_status(every_fifteenth, delta=DELTA)
    assert (str(spent.status), int(spent.pairs)) == ("spent", 400)


def test_no_pairs_say_nothing() -> None:
    nothing = confirm_status([], delta=DELTA)
    assert (str(nothing.status), int(nothing.pairs)) == ("open", 0)
    assert nothing.log_e == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_array_equal(effect_interval(tally([]), level=0.95), [-1.0, 1.0])


def test_parallel_rules_stop_as_if_each_were_alone() -> None:
    differences = np.concatenate([fired(5, 8, rate=rate, control=0.02) for rate in (0.9, 0.2, 0.1, 0.02)])
    together = confirm_status(differences, delta=DELTA)
    alone = [confirm_status(row, delta=DELTA) for row in differences]
    for field in ("status", "pairs", "log_e"):
        np.testing.assert_array_equal(getattr(together, field), [getattr(one, field) for one in alone])
    assert len(set(together.status)) > 1


@pytest.mark.parametrize("odd", [0.5, 2.0, np.nan])
def test_a_difference_that_no_pair_can_have_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match="leave out"):
        tally([1.0, odd])


@pytest.mark.parametrize(("up", "down"), [(0.05, 0.0), (0.9, 0.02), (0.3, 0.25), (0.0, 0.4)])
def test_the_confidence_sequence_holds_the_effect_at_all_looks(up: float, down: float) -> None:
    rules = 200
    interval = effect_interval(running_tally(pairs(4, rules, up=up, down=down, length=150)), level=0.9)
    always = ((interval.low <= up - down) & (up - down <= interval.high)).all(axis=1)
    assert always.mean() >= 0.9 - 2 * np.sqrt(0.09 / rules)


def test_the_ends_are_where_the_two_processes_cross_at_all_looks() -> None:
    """Coverage over many paths, from the process at the true effect alone: both sides, 95 %."""
    up, down = 0.3, 0.1
    path = running_tally(pairs(6, 4000, up=up, down=down))
    mirrored = Tally(path.down, path.same, path.up)
    above = log_e_value(path, delta=up - down).max(axis=1) >= np.log(40)
    below = log_e_value(mirrored, delta=down - up).max(axis=1) >= np.log(40)
    assert (above | below).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


@settings(deadline=None)
@given(DIFFERENCES)
def test_the_interval_holds_the_mean_of_the_pairs_and_is_what_a_slow_grid_gives(differences: list[int]) -> None:
    low, high = effect_interval(tally(differences), level=0.95)
    assert low <= np.mean(differences) <= high
    grid = [k / 100 for k in range(-99, 101)]
    assert low == max([d for d in grid if slow_capital(differences, d) >= 40], default=-1.0)
    assert high == min([-d for d in grid if slow_capital([-x for x in differences], d) >= 40], default=1.0)


@settings(deadline=None)
@given(DIFFERENCES)
def test_mirrored_pairs_give_the_mirrored_interval(differences: list[int]) -> None:
    low, high = effect_interval(tally(differences), level=0.95)
    mirrored = effect_interval(tally([-x for x in differences]), level=0.95)
    np.testing.assert_array_equal(mirrored, [-high, -low])


def test_a_rule_that_was_reached_has_an_interval_above_the_margin() -> None:
    differences = fired(7, 200, rate=0.4, control=0.02)
    stopped = confirm_status(differences, delta=DELTA)
    assert (stopped.status == "reached").all()
    for row, end in zip(differences, stopped.pairs, strict=True):
        low, high = effect_interval(tally(row[:end]), level=0.95)
        assert DELTA <= low < high <= 1


def test_more_pairs_narrow_the_interval() -> None:
    path = running_tally(pairs(8, 1, up=0.5, down=0.02))
    low, high = effect_interval(Tally(*(count[0, [10, 60, 400]] for count in path)), level=0.95)
    assert (np.diff(high - low) < 0).all()
    assert high[-1] - low[-1] < 0.25
