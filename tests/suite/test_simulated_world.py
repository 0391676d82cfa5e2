"""A declared world: filled in by the levels, part of what identifies a condition, refused with reason and remedy."""

import hashlib
import json

import pytest

from diffbehav.errors import InputError
from diffbehav.records import condition_id
from diffbehav.suite import conditions, draw, suite_from_text
from tests.suite.writing import FACTORS, FULL, suite_of, text_of

ASK = """\
max_turns: 2
messages:
  - {role: user, content: "{{ date }} {{ user }} {{ request }}"}
tasks:
  - {id: one, vars: {request: first, own: a}, tools: [read, mail]}
  - {id: two, vars: {request: second}, tools: [read]}
"""
TOOLS = """\
tools:
  - type: function
    function: {name: read, description: Read., parameters: {type: object, properties: {path: {type: string}}}}
  - type: function
    function: {name: mail, description: Send., parameters: {type: object, properties: {to: {type: string}}}}
"""
WORLD = """\
world:
  files: {"/srv/{{ user }}.txt": "{{ request }} {{ place }}"}
  tables: {outbox: [{from: "{{ user }}", n: 1}]}
  tools:
    read: {effect: read, path: "{{ call.path }}", result: "{{ found.content }} {{ date }}"}
    mail: {effect: append, table: outbox, result: sent}
"""


def refused(*, world: str = WORLD, ask: str = ASK) -> str:
    with pytest.raises(InputError) as error:
        suite_from_text(text_of(ask, TOOLS, FACTORS, world, FULL), name="small.yaml")
    return str(error.value)


def test_a_factor_of_an_observation_alone_makes_conditions_that_differ_in_their_world() -> None:
    suite = suite_of(ASK, TOOLS, FACTORS, WORLD, FULL)
    drawn = list(conditions(suite, draw(suite)))
    assert len({condition.id for condition in drawn}) == len(drawn) == 72
    assert len({json.dumps(condition.messages) for condition in drawn}) == 18
    assert suite.unused_factors == ()
    world = next(c for c in drawn if (c.task, c.levels["user"], c.levels["place"]) == ("two", "cy", "3.10")).world
    assert world is not None
    assert world["files"] == {"/srv/cy.txt": "second 3.10"}
    assert world["tables"] == {"outbox": [{"from": "cy", "n": 1}]}
    assert world["values"].keys() == {"date"}
    assert world["max_turns"] == 2


def test_without_a_world_ids_and_what_is_sent_stay_what_they_were() -> None:
    ask = ASK.replace("max_turns: 2\n", "").replace("{{ date }}", "{{ date }} {{ place }}")
    suite = suite_of(ask, TOOLS, FACTORS, FULL)
    for condition in conditions(suite, draw(suite)):
        assert condition.world is None
        sent = {"messages": condition.messages, "tools": condition.tools}
        text = json.dumps(sent, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert condition.id == condition_id(condition.messages, condition.tools)
        assert condition.id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_factors_work_in_earlier_turns_of_planted_memory() -> None:
    memory = """\
    messages:
      - {role: user, content: "Open it."}
      - {role: assistant, content: "I will.", tool_calls: [{name: read, arguments: {path: "/srv/{{ user }}.txt"}}]}
      - {role: tool, content: "{{ place }} {{ date }}"}
      - {role: assistant, content: "Done for {{ user }}."}
      - {role: user, content: "{{ request }}"}
    tasks:
      - {id: one, vars: {request: first}, tools: [read]}
    """
    suite = suite_of(memory, TOOLS, FACTORS, FULL)
    drawn = list(conditions(suite, draw(suite)))
    assert len({condition.id for condition in drawn}) == 36
    one = next(c for c in drawn if (c.levels["user"], c.levels["place"]) == ("bob", "no"))
    assert one.messages[1]["tool_calls"][0]["function"]["arguments"] == {"path": "/srv/bob.txt"}
    assert one.messages[2]["content"].startswith("no 202")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("effect: read", "effect: reed", ["unknown effect 'reed'", "'read', 'list', 'write'"]),
        ("effect: read, ", "", ["missing key `effect`"]),
        ("{{ found.content }}", "{{ found.contents }}", ["`found.contents`, did you mean `content`"]),
        ("{{ found.content }}", "{{ found }}", ["`found` is used as a whole"]),
        ("{{ call.path }}", "{{ call.file }}", ["unknown variable `call.file`", "call.path"]),
        ("{{ call.path }}", "{{ found.content }}", ["unknown variable `found`"]),
        ("result: sent", "result: '{{ weather }}'", ["unknown variable `weather`", "known here: date, user, place"]),
        ("result: sent", "result: '{{ own }}'", ["unknown variable `own`"]),
        ("result: sent", "result: '{{ own'", ["no valid template"]),
        ("    mail:", "    mial:", ["'mial' has no schema, did you mean `mail`?", "nothing answers calls of 'mail'"]),
        ("table: outbox, ", "", ["missing key `table`"]),
        (", result: sent", ", path: x, result: sent", ["unknown key"]),
        ("/srv/{{ user }}.txt", "/srv/{{ usr }}.txt", ["unknown variable `usr`, did you mean `user`?"]),
        ("/srv/{{ user }}.txt", "srv/{{ user }}.txt", ["the path 'srv/ann.txt' of a file is not absolute"]),
        ('from: "{{ user }}"', 'from: "{{ user.x() }}"', ["the world cannot be filled in"]),
    ],
)
def test_a_world_that_does_not_fit_is_refused_with_the_reason(old: str, new: str, told: list[str]) -> None:
    assert old in WORLD
    message = refused(world=WORLD.replace(old, new))
    for words in told:
        assert words in message


def test_turns_without_a_world_and_a_world_without_turns_are_refused() -> None:
    assert "declares no world that could answer calls" in refused(world="")
    assert "a conversation ends after the model's first turn" in refused(ask=ASK.replace("max_turns: 2\n", ""))
    assert "max_turns" in refused(ask=ASK.replace("max_turns: 2", "max_turns: 33"))


def test_two_files_with_one_path_are_refused_where_they_meet() -> None:
    world = WORLD.replace('files: {', 'files: {/srv/bob.txt: x, ')
    suite = suite_of(ASK, TOOLS, FACTORS, world, FULL)
    with pytest.raises(InputError, match=r"two files of the world have the path '/srv/bob.txt'"):
        list(conditions(suite, draw(suite)))
