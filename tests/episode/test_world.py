"""World functions: values in, values out, every limit is told, and nothing escapes the tree."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbehav.episode import Result, Simulation, World, changed, continued
from diffbehav.episode.arguments import json_object, read_arguments
from diffbehav.episode.refusals import Refused
from diffbehav.episode.simulation import LONGEST_RESULT, MOST_CALLS
from diffbehav.episode.world import delete, listing, move, normalised, read, select, write
from diffbehav.records import ToolCall
from diffbehav.suite.templates import render
from diffbehav.suite.world import FOUND

START = World({"/srv/a.txt": "one\ntwo", "/srv/deep/b.txt": ""}, {"outbox": ()})


def tool(name: str, **properties: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
    }
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


TOOLS = [
    tool("read", path="string"), tool("list", path="string"), tool("write", path="string", text="string"),
    tool("delete", path="string"), tool("move", source="string", target="string"), tool("mail", to="string"),
    tool("query", table="string", limit="integer"), tool("now"),
]  # fmt: skip
RULES = {
    "read": {"effect": "read", "path": "{{ call.path }}", "result": "{{ found.lines }}:{{ found.content }}"},
    "list": {"effect": "list", "path": "{{ call.path }}", "result": "{{ found.count }}:{{ found.entries }}"},
    "write": {"effect": "write", "path": "{{ call.path }}", "content": "{{ call.text }}", "result": "written"},
    "delete": {"effect": "delete", "path": "{{ call.path }}", "result": "deleted"},
    "move": {"effect": "move", "path": "{{ call.source }}", "to": "{{ call.target }}", "result": "{{ found.path }}"},
    "mail": {"effect": "append", "table": "outbox", "result": "sent {{ found.count }} {{ marker }}"},
    "query": {
        "effect": "select", "table": "{{ call.table }}", "limit": "{{ call.limit }}", "result": "{{ found.rows }}"
    },
    "now": {"effect": "reply", "result": "{{ date }}"},
    "secret": {"effect": "reply", "result": "not on offer"},
}
SIMULATION = Simulation(
    {
        "max_turns": 3,
        "files": dict(START.files),
        "tables": {"outbox": []},
        "tools": RULES,
        "values": {"date": "2026-01-01", "marker": "|M|"},
    },
    TOOLS,
    render,
)


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


def answer(*calls: ToolCall, world: World = START) -> tuple[World, list[tuple[str, str]]]:
    after, results = SIMULATION.answer(world, calls)
    return after, [tuple(each) for each in results]


def test_calls_of_a_turn_act_one_after_the_other_and_leave_the_world_before_them_alone() -> None:
    after, results = answer(
        call("read", path="/srv/a.txt"),
        call("move", source="/srv/a.txt", target="/srv/deep"),
        call("write", path="new.txt", text="hello"),
        call("list", path="/srv"),
        call("mail", to="x@y.example", cc="z@y.example"),
        call("query", table="outbox", limit=5),
        call("now"),
    )
    assert results == [
        ("ok", "2:one\ntwo"), ("ok", "/srv/deep/a.txt"), ("ok", "written"), ("ok", "1:deep/"), ("ok", "sent 1 |M|"),
        ("ok", '{"cc":"z@y.example","to":"x@y.example"}'), ("ok", "2026-01-01"),
    ]  # fmt: skip
    assert START.files.keys() == {"/srv/a.txt", "/srv/deep/b.txt"}
    assert changed(SIMULATION.start, after) == {
        "files": {
            "/new.txt": {"before": None, "after": "hello"},
            "/srv/a.txt": {"before": "one\ntwo", "after": None},
            "/srv/deep/a.txt": {"before": None, "after": "one\ntwo"},
        },
        "rows": {"outbox": ['{"cc":"z@y.example","to":"x@y.example"}']},
    }


@pytest.mark.parametrize(
    ("made", "status", "told"),
    [
        (call("rm", path="/"), "error", "error: unknown tool 'rm'"),
        (call("secret"), "error", "error: unknown tool 'secret'"),
        (call("read"), "error", "error: argument 'path' is missing"),
        (call("read", path=3), "error", "error: argument 'path' is not of type string"),
        (call("query", table="outbox", limit=True), "error", "error: argument 'limit' is not of type integer"),
        (call("read", path="/srv"), "error", "error: /srv: is a directory"),
        (call("delete", path="/none"), "error", "error: /none: no such file"),
        (call("list", path="/none"), "error", "error: /none: no such file or directory"),
        (call("write", path="/srv/a.txt/b", text=""), "error", "error: /srv/a.txt/b: not a directory"),
        (call("query", table="x", limit=1), "error", "error: x: no such table"),
        (call("read", path="\0"), "error", "error: the path is empty or holds a NUL character"),
        (call("read", path="a" * 2000), "capped", "error: the path has 2,000 characters; the limit is 1,024"),
        (ToolCall("read", '{"path": '), "error", "error: the arguments are not valid JSON: "),
        (ToolCall("read", "[1]"), "error", "error: the arguments are not a JSON object"),
        (ToolCall("read", '{"path": NaN}'), "error", "error: the arguments are not valid JSON: NaN is no JSON number"),
        (ToolCall("read", '{"path": "a", "path": "b"}'), "error", "error: the arguments are not valid JSON: a key is"),
        (ToolCall("read", '{"path": 1e999}'), "error", "error: the arguments are not valid JSON: a number is"),
        (ToolCall("read", f'{{"path": {"9" * 5000}}}'), "error", "error: the arguments are not valid JSON: a number"),
        (ToolCall("read", '{"path": "' + "x" * 2**20 + '"}'), "capped", "error: the arguments have 1,048,588"),
        (ToolCall("read", '{"a": ' + "[" * 40 + "]" * 40 + "}"), "capped", "error: the arguments are nested deeper"),
        (ToolCall("read", "[" * 60_000), "capped", "error: the arguments are nested deeper"),
        (ToolCall("\ud800" * 300, "{}"), "error", "error: unknown tool "),
    ],
)
def test_a_call_that_cannot_be_done_changes_nothing_and_says_why(made: ToolCall, status: str, told: str) -> None:
    after, [(got, text)] = answer(made)
    assert (got, after) == (status, START)
    assert text.startswith(told)
    assert answer(made) == (after, [(got, text)])


def test_the_calls_beyond_the_limit_of_a_turn_are_counted_and_not_run() -> None:
    after, results = answer(*[call("mail", to="x")] * 10_000)
    assert len(after.tables["outbox"]) == MOST_CALLS == len(results) - 1
    assert results[-1][0] == "capped" and "9,968 in all" in results[-1][1]


def test_a_long_result_is_cut_and_says_so() -> None:
    after, _ = answer(call("write", path="/long", text="x" * 60_000))
    _, [(status, text)] = answer(call("read", path="/long"), world=after)
    assert status == "capped"
    assert text.endswith("[cut: the first 4,000 of 60,002 characters]") and len(text) < LONGEST_RESULT + 60


def test_a_file_or_a_tree_that_is_too_large_is_refused_as_capped() -> None:
    rule = {"effect": "write", "path": "{{ call.path }}", "content": "{{ call.path * 40000 }}", "result": ""}
    grown = Simulation({**SIMULATION.declared, "tools": RULES | {"write": rule}}, TOOLS, render)
    _, (result,) = grown.answer(START, [call("write", path="/x", text="")])
    assert result == Result("capped", "error: /x: 80,000 characters; the limit of a file is 65,536")
    full = World({f"/{number}": "" for number in range(1000)}, {})
    _, [(status, _)] = answer(call("write", path="/more", text=""), world=full)
    assert status == "capped"


def test_an_argument_cannot_hide_behind_a_method_or_blow_up_a_template() -> None:
    rules = RULES | {"now": {"effect": "reply", "result": "{{ call.items }} {{ call.keys }} {{ 'x' * call.n }}"}}
    simulation = Simulation({**SIMULATION.declared, "tools": rules}, TOOLS, render)
    _, results = simulation.answer(START, [call("now", items=[1, {"b": 2}], keys="k", n=3), call("now", n=10**12)])
    assert results == (
        Result("ok", '[1,{"b":2}] k xxx'), Result("error", "error: now cannot be run with these arguments")
    )  # fmt: skip


def test_the_facts_that_suites_may_name_are_those_that_effects_find() -> None:
    world = World({"/a": "x"}, {"t": ()})
    found = {
        "read": read(world, "/a"), "list": listing(world, "/"), "write": write(world, "/b", ""),
        "delete": delete(world, "/a"), "move": move(world, "/a", "/b"), "select": select(world, "t", None),
    }  # fmt: skip
    assert {name: tuple(done.found) for name, done in found.items()} == {name: FOUND[name] for name in found}
    _, results = answer(call("mail", to="x"))
    assert results == [("ok", "sent 1 |M|")] and FOUND["append"] == ("count",) and FOUND["reply"] == ()


PATHS = st.text(st.sampled_from("ab./\\ ~é"), max_size=12)


@given(PATHS)
def test_no_path_leaves_the_root_and_normalising_twice_changes_nothing(path: str) -> None:
    try:
        place = normalised(path)
    except Refused:
        assert not path.strip()
        return
    assert place.startswith("/") and "/../" not in place + "/" and "//" not in place
    assert normalised(place) == place


CALLS = st.one_of(
    st.builds(lambda p: call("read", path=p), PATHS),
    st.builds(lambda p, t: call("write", path=p, text=t), PATHS, st.text(max_size=5)),
    st.builds(lambda p: call("delete", path=p), PATHS),
    st.builds(lambda a, b: call("move", source=a, target=b), PATHS, PATHS),
    st.builds(lambda p: call("list", path=p), PATHS),
    st.builds(lambda a: call("mail", to=a), st.text(max_size=5)),
    st.builds(ToolCall, st.sampled_from(["read", "mail", "none"]), st.text(max_size=20)),
)


@given(st.lists(CALLS, max_size=12))
def test_any_calls_give_one_result_each_the_same_world_again_and_a_tree_without_contradictions(
    calls: list[ToolCall],
) -> None:
    after, results = SIMULATION.answer(START, calls)
    assert (after, results) == SIMULATION.answer(START, calls)
    assert len(results) == len(calls)
    assert all(result.status != "ok" or not result.text.startswith("error") for result in results)
    for path in after.files:
        assert normalised(path) == path
        assert not any(other.startswith(path + "/") for other in after.files)
    assert (changed(START, after) == {"files": {}, "rows": {}}) == (after == START)


@given(st.text(max_size=60) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_an_object_or_refused(text: str) -> None:
    try:
        assert isinstance(json_object(text), dict)
    except Refused as refused:
        assert str(refused).startswith("the arguments")


def test_an_escape_of_a_lone_surrogate_is_a_replacement_character() -> None:
    assert json_object(r'{"a\ud800": ["\uDFFF", "\ud83d\ude00", "\\ud800"]}') == {
        "a\ufffd": ["\ufffd", "\U0001f600", r"\ud800"]
    }
    with pytest.raises(Refused, match="written twice"):
        json_object(r'{"\ud800": 1, "\ud801": 2}')


def test_arguments_beyond_the_schema_are_let_through_and_whole_floats_are_integers() -> None:
    schema = tool("t", limit="integer")["function"]["parameters"]
    assert read_arguments('{"limit": 3.0, "more": null}', schema) == {"limit": 3.0, "more": None}
    with pytest.raises(Refused, match="not of type integer"):
        read_arguments('{"limit": 3.5}', schema)


def test_a_conversation_goes_on_in_the_format_of_suite_conditions() -> None:
    calls = [call("read", path="a"), ToolCall("read", "not json"), call("now")]
    past = [{"role": "assistant", "content": "", "tool_calls": [{"id": "call_1"}]}]
    went_on = continued(past, content="Text.\n", calls=calls, results=[Result("ok", "x"), Result("error", "y")])
    assert went_on[0] is past[0]
    assert went_on[1]["content"] == "Text."
    assert [each["id"] for each in went_on[1]["tool_calls"]] == ["call_2", "call_3"]
    assert [each["function"]["arguments"] for each in went_on[1]["tool_calls"]] == [{"path": "a"}, "not json"]
    assert [(each["role"], each["content"], each["tool_call_id"], each["name"]) for each in went_on[2:]] == [
        ("tool", "x", "call_2", "read"), ("tool", "y", "call_3", "read")
    ]  # fmt: skip
