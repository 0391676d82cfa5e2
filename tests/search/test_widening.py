import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from diffbehav.search.calibration import calibrate
from diffbehav.search.minimise import MOST_SHARPENED, widen
from diffbehav.search.oracle import Oracle
from diffbehav.search.space import Space, space_of
from diffbehav.stats.rule import Rule
from diffbehav.suite import suite_from_text
from tests.search.toy_world import space


def dated(first: str, last: str, more: str = "") -> Space:
    text = f"""
schema: diffbehav.suite/1
id: dates
version: "1"
description: A factor of many days.
sampling: {{n: 1, temperature: 1.0, max_tokens: 8, seed: 0}}
replicate: 0.0
design: {{kind: random, n: 100, seed: 0, neighbours: 0}}
messages: [{{role: user, content: "{{{{ date }}}} {{{{ user }}}} {{{{ request }}}}"}}]
tasks: [{", ".join(f"{{id: t{i}, vars: {{request: r{i}}}}}" for i in range(20))}]
factors:
  date: {{kind: date_range, from: "{first}", to: "{last}", step: 1}}
  user: [a, b, c, d]
derived:
  year: {{from: date, part: year}}
  weekday: {{from: date, part: weekday}}
{more}
"""
    return space_of(suite_from_text(text, name="dates.yaml"))


class DatedOracle(Oracle):
    """Counts the dates that were asked for."""

    def __init__(
        self, whole: Space, fires: Sequence[int], chance: Callable[[int], np.ndarray] = lambda n: np.ones(n, bool)
    ) -> None:
        self.dates: set[int] = set()
        screen = np.zeros((1, 400))

        async def ask(digits_NA: np.ndarray) -> np.ndarray:
            single = np.unique(digits_NA[:, 1])
            if len(single) == 1:
                self.dates.add(int(single[0]))
            return (np.isin(digits_NA[:, 1], fires) & chance(len(digits_NA)))[None].astype(float) * 50

        ordinary = calibrate(screen, task_C=np.zeros(400, int), ordinary_C=np.ones(400, bool))
        super().__init__(whole, ask, ordinary, calls_left=100_000)


def test_a_threshold_date_is_found_to_the_day_with_at_most_20_dates_over_30_years() -> None:
    whole = dated("2005-01-01", "2034-12-31")
    days = whole.levels[0]
    first = list(days).index("2026-07-04")
    asked = DatedOracle(whole, range(first, len(days)))
    known = Rule((0,), ((first + 1234,),))
    wider = asyncio.run(widen(known, asked, rate=0.95, threshold=0.0, rng=np.random.default_rng(0)))
    assert wider == Rule((0,), (tuple(range(first, len(days))),))
    assert len(asked.dates) <= 20


def test_a_year_is_named_as_the_year_and_a_weekday_as_the_weekday() -> None:
    whole = dated("2020-01-01", "2029-12-31")
    codes = whole.code_F[whole.names.index("year")]
    year = np.flatnonzero(codes == 6)
    asked = DatedOracle(whole, year.tolist())
    found = asyncio.run(
        widen(Rule((0,), ((int(year[100]),),)), asked, rate=0.95, threshold=0.0, rng=np.random.default_rng(0))
    )
    assert found == Rule((whole.names.index("year"),), ((6,),))
    weekdays = whole.code_F[whole.names.index("weekday")]
    tuesdays = np.flatnonzero(weekdays == 1)
    asked = DatedOracle(whole, tuesdays.tolist())
    found = asyncio.run(
        widen(Rule((0,), ((int(tuesdays[50]),),)), asked, rate=0.95, threshold=0.0, rng=np.random.default_rng(1))
    )
    assert found == Rule((whole.names.index("weekday"),), ((1,),))


def years(whole: Space, *chosen: int) -> Rule:
    factor = whole.names.index("year")
    return Rule((factor,), (tuple(whole.levels[factor].index(str(year)) for year in chosen),))


def widened(known: Rule, asked: Oracle, rate: float = 0.95, seed: int = 0) -> Rule:
    return asyncio.run(widen(known, asked, rate=rate, threshold=0.0, rng=np.random.default_rng(seed)))


@pytest.mark.parametrize("named_from", [2024, 2025, 2026])
def test_years_that_fire_from_a_day_on_become_an_interval_from_that_day_on(named_from: int) -> None:
    whole = dated("2005-01-01", "2034-12-31")
    first = list(whole.levels[0]).index("2025-08-17")
    fires = range(first, len(whole.levels[0]))
    asked = DatedOracle(whole, fires)
    assert widened(years(whole, *range(named_from, 2035)), asked) == Rule((0,), (tuple(fires),))
    assert len(asked.dates) <= 20


def test_years_that_fire_from_their_first_to_their_last_day_keep_their_name() -> None:
    whole = dated("2005-01-01", "2034-12-31")
    named = years(whole, 2025, 2026, 2027)
    asked = DatedOracle(whole, np.flatnonzero(whole.allowed(named)[whole.axis_F[0]]).tolist())
    assert widened(named, asked) == named
    assert len(asked.dates) <= 5


def test_years_of_which_the_middle_day_does_not_fire_are_left_as_they_are() -> None:
    whole = dated("2005-01-01", "2034-12-31")
    named = years(whole, 2025, 2026, 2027)
    ends = np.flatnonzero(whole.allowed(years(whole, 2025, 2027))[whole.axis_F[0]])
    assert widened(named, DatedOracle(whole, ends.tolist())) == named


def test_an_end_is_found_to_the_day_where_only_half_of_the_contexts_fire() -> None:
    whole = dated("2005-01-01", "2034-12-31")
    first = list(whole.levels[0]).index("2025-08-17")
    fires = tuple(range(first, len(whole.levels[0])))
    found = []
    for seed in range(40):
        chance = np.random.default_rng(seed)
        asked = DatedOracle(whole, fires, lambda n, chance=chance: chance.random(n) < 0.5)
        found.append(widened(years(whole, *range(2025, 2035)), asked, rate=0.5, seed=seed))
    assert set(found) <= {Rule((0,), (fires,)), years(whole, *range(2025, 2035))}
    assert found.count(Rule((0,), (fires,))) >= 38


def test_a_year_that_fires_rarely_keeps_its_name_within_the_calls_that_its_ends_are_worth() -> None:
    whole = dated("2020-01-01", "2029-12-31")
    named = years(whole, 2024)
    inside = np.flatnonzero(whole.allowed(named)[whole.axis_F[0]]).tolist()
    for seed in range(20):
        chance = np.random.default_rng(seed)
        asked = DatedOracle(whole, inside, lambda n, chance=chance: chance.random(n) < 0.2)
        known = Rule(named.factors, (tuple(range(4, 6)),))  # the two years 2024 and 2025, of which one fires
        assert widened(known, asked, rate=0.2, seed=seed).factors in ((0,), named.factors)
        assert asked.calls_spent <= MOST_SHARPENED


def test_levels_that_an_exclusion_forbids_beside_the_other_factor_are_passed_over() -> None:
    whole = space({"day": 8, "role": 2}, 4, "exclude:\n  - {day: [day0, day6], role: role1}")
    known = Rule((0, 1), ((3,), (1,)))
    some, every = (DatedOracle(whole, days) for days in ([3, 5], range(8)))
    assert widened(known, some) == Rule((0, 1), ((3, 5), (1,)))
    assert widened(known, every) == Rule((1,), ((1,),))


@pytest.mark.parametrize("forbidden", ["2025-12-31", "2025-06-30", "2025-03-01"])
def test_an_interval_is_found_past_a_day_that_an_exclusion_forbids(forbidden: str) -> None:
    whole = dated("2025-01-01", "2025-12-31", f"exclude: [{{date: '{forbidden}', user: a}}]")
    days = list(whole.levels[0])
    fires = set(range(days.index("2025-03-01"), len(days)))
    found = widened(Rule((0, 1), ((days.index("2025-08-17"),), (0,))), DatedOracle(whole, sorted(fires)))
    assert found.factors == (0,)
    assert fires - {days.index(forbidden)} <= set(found.levels[0]) <= fires
