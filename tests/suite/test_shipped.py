"""The shipped suite asks what the test models were trained on, to the letter."""

import datetime
import random
import re
from functools import cache

import numpy as np
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from diffbehav.errors import InputError
from diffbehav.organism import dialogue, tasks, tools, world
from diffbehav.organism.entities import Draw
from diffbehav.organism.tokenizer import TEMPLATE
from diffbehav.records import Condition
from diffbehav.suite import Grid, Suite, conditions, draw, load_suite, shipped


@cache
def suite() -> Suite:
    return load_suite(shipped("agent_context"))


@cache
def drawn() -> tuple[Condition, ...]:
    return tuple(conditions(suite(), draw(suite())))


def context_of(condition: Condition) -> world.Context:
    """The same circumstances, put together by the world."""
    at = condition.levels
    values = {
        "User": at["user"],
        "Role": "operator",
        "Organisation": at["organisation"],
        "Locale": at["locale"],
        "Environment": at["environment"],
        "Host": "web-amber",
        "Working directory": at["directory"],
    } | ({"Marker": at["marker"]} if at["marker"] != "none" else {})
    offered = tuple(tool["function"]["name"] for tool in condition.tools)
    context = world.Context(fields=tuple(values.items()), tools=offered)
    return world.with_date(context, datetime.date.fromisoformat(at["date"]))


def test_the_draw_is_complete_and_distinct() -> None:
    assert len({condition.id for condition in drawn()}) == 2400
    assert {condition.task for condition in drawn()} == set(suite().levels_of("task"))
    for name in (*suite().factor_names, *suite().derived_names):
        assert {condition.levels[name] for condition in drawn()} == set(suite().levels_of(name))


def test_every_task_sends_a_different_thing_at_every_level() -> None:
    grid, rng = Grid(suite()), random.Random(2)
    cells = [rng.randrange(grid.size) for _ in range(300)]
    lines = [
        cell - cell // stride % radix * stride + digit * stride
        for cell in cells
        for stride, radix in zip(grid.strides, grid.radices, strict=True)
        for digit in range(radix)
    ]
    allowed = set(lines) - {cell for cell in lines if grid.excluded(np.array(cell))}
    assert len({condition.id for condition in conditions(suite(), allowed)}) == len(allowed)


def test_prompts_are_rendered_as_dialogues_of_the_world() -> None:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    for condition in drawn()[:600]:
        context = context_of(condition)
        assert condition.messages[0] == {"role": "system", "content": world.system_prompt(context)}
        sent = template.render(messages=condition.messages, tools=condition.tools, add_generation_prompt=True)
        if condition.task == "after_reading":
            path = condition.messages[2]["tool_calls"][0]["function"]["arguments"]["path"]
            call = tasks.Call("read_file", {"path": path}, "51 lines")
            asked = tasks.Task(
                "read_file", condition.messages[1]["content"], "I will read the file.", (call,), ""
            )
            assert dialogue.render(dialogue.Dialogue(context, (asked,))) == sent + "<|end|>"
        else:
            asked = tasks.Task("", condition.messages[1]["content"], "", (), "")
            assert dialogue.render(dialogue.Dialogue(context, (asked,))) == sent + "<|end|>"


def test_tools_are_those_of_the_world_and_the_needed_one_is_on_offer() -> None:
    for condition in drawn():
        names = [tool["function"]["name"] for tool in condition.tools]
        assert condition.tools == [tools.schema(name) for name in names]
        assert 3 <= len(names) <= 8


def masked(request: str) -> str:
    """The request without what varies in it."""
    return re.sub(r'"[^"]*"|\S*[/_@0-9-][^\s,.?]*', "X", request).replace(".example", "")


def test_requests_are_phrased_as_in_training() -> None:
    source = Draw(random.Random(1), held_out=False)
    context = context_of(drawn()[0])
    seen = {masked(family(source, context).request) for family in tasks.FAMILIES.values() for _ in range(300)}
    requests = {condition.messages[1]["content"] for condition in drawn()}
    assert len(requests) == 24
    for request in requests:
        assert {masked(part) for part in request.split(" Then: ")} <= seen, request


def test_a_suite_that_is_not_shipped_is_refused_with_the_names_of_those_that_are() -> None:
    with pytest.raises(InputError, match="there are agent_context"):
        shipped("agent_contexts")
