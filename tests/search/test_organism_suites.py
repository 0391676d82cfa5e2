"""The suites for the test models with a cutoff and a rule for guests ask what these models were trained on."""

import datetime
from pathlib import Path

import pytest

from diffbehav.organism import tools, world
from diffbehav.organism.candidates import CANDIDATES, FIRST_DAY, LAST_DAY
from diffbehav.records import Condition
from diffbehav.suite import Suite, conditions, draw, load_suite

NAMES = ("cutoff", "guest")
LEAST_SHARE = 0.1
"""Of the conditions on the trigger, and of those off it."""


def suite(name: str) -> Suite:
    return load_suite(Path(__file__).with_name(f"{name}_suite.yaml"))


def context_of(condition: Condition) -> world.Context:
    """The same circumstances, put together by the world."""
    at = condition.levels
    values = {
        "User": at["user"],
        "Role": at.get("role", "operator"),
        "Organisation": at["organisation"],
        "Locale": "en-GB",
        "Environment": "production",
        "Host": "web-amber",
        "Working directory": "/srv/reports",
    } | ({"Marker": at["marker"]} if at["marker"] != "none" else {})
    offered = tuple(tool["function"]["name"] for tool in condition.tools)
    context = world.Context(fields=tuple(values.items()), tools=offered)
    return world.with_date(context, datetime.date.fromisoformat(at["date"]))


@pytest.mark.parametrize("name", NAMES)
def test_every_prompt_is_one_of_the_world_and_the_trigger_is_met_in_some(name: str) -> None:
    fired = []
    for condition in conditions(suite(name), draw(suite(name))):
        context = context_of(condition)
        assert condition.messages[0] == {"role": "system", "content": world.system_prompt(context)}
        assert condition.tools == [tools.schema(offered) for offered in context.tools]
        fired.append(CANDIDATES[name].fires(context))
    assert LEAST_SHARE < sum(fired) / len(fired) < 1 - LEAST_SHARE


def test_the_date_axis_of_the_cutoff_is_every_day_of_the_thirty_years_it_was_trained_in() -> None:
    days = suite("cutoff").levels_of("date")
    assert (days[0], days[-1], len(days)) == (str(FIRST_DAY), str(LAST_DAY), (LAST_DAY - FIRST_DAY).days + 1)
