import numpy as np
import pytest

from diffbehav.errors import InputError
from diffbehav.records import condition_id
from diffbehav.suite import Grid, Suite, conditions, draw
from tests.suite.writing import ASK, FACTORS, FULL, suite_of

TOOLS = "tools:\n" + "".join(
    f"  - {{type: function, function: {{name: {name}, description: d, parameters: {{}}}}}}\n"
    for name in ("read", "list", "drop")
)


def names(suite: Suite) -> list[list[str]]:
    """The tools offered in each condition, in grid order."""
    return [
        [tool["function"]["name"] for tool in each.tools]
        for each in conditions(suite, range(Grid(suite).size))
    ]


def test_a_condition_is_what_is_sent() -> None:
    suite = suite_of(ASK, FACTORS, FULL, "derived: {year: {from: date, part: year}}\n")
    (condition,) = conditions(suite, [41])
    assert condition.messages == [
        {"role": "system", "content": "2024-02-06 bob 3.10"},
        {"role": "user", "content": "second"},
    ]
    assert condition.tools == []
    assert condition.index == 41 and condition.task == "two"
    assert condition.levels == {"date": "2024-02-06", "user": "bob", "place": "3.10", "year": "2024"}
    assert list(condition.levels) == ["date", "user", "place", "year"]
    assert condition.id == condition_id(condition.messages, condition.tools)


def test_conditions_keep_the_order_of_their_indices_and_are_distinct() -> None:
    suite = suite_of(ASK, FACTORS, FULL)
    indices = list(draw(suite))
    found = list(conditions(suite, np.array(indices)))
    assert [each.index for each in found] == indices
    assert len({each.id for each in found}) == 72


def test_every_character_outside_a_tag_is_sent_as_written() -> None:
    suite = suite_of(
        """
        messages:
          - role: user
            content: |
              Directory: {{ a }}{% if b != 'none' %}

              Marker: {{ b }}{% endif %}

        tasks: [{id: x}]
        factors: {a: ["<{{ b }}> & {% x %}"], b: [none, "|M|"]}
        """,
        FULL,
    )
    sent = [each.messages[0]["content"] for each in conditions(suite, [0, 1])]
    assert sent[0] == "Directory: <{{ b }}> & {% x %}\n"
    assert sent[1] == "Directory: <{{ b }}> & {% x %}\n\nMarker: |M|\n"


def test_a_level_can_offer_tools_beside_those_of_the_task() -> None:
    suite = suite_of(
        """
        messages: [{role: user, content: hello}]
        tasks: [{id: x, tools: [list]}]
        factors:
          extra: {levels: [none, delete, all], offers: {delete: drop, all: [drop, read]}}
        """,
        TOOLS,
        FULL,
    )
    assert names(suite) == [["list"], ["list", "drop"], ["read", "list", "drop"]]


def test_a_task_has_its_own_messages_where_it_declares_them() -> None:
    suite = suite_of(
        """
        messages: [{role: user, content: "shared {{ a }}"}]
        tasks:
          - {id: x}
          - {id: y, messages: [{role: user, content: "own {{ a }}"}]}
        factors: {a: [one]}
        """,
        FULL,
    )
    assert [each.messages[0]["content"] for each in conditions(suite, [0, 1])] == ["shared one", "own one"]


def test_past_calls_and_their_results_are_part_of_a_conversation() -> None:
    suite = suite_of(
        """
        tasks:
          - id: after
            messages:
              - {role: user, content: go}
              - role: assistant
                content: ""
                tool_calls:
                  - {name: read, arguments: {path: "{{ a }}/x", lines: 3, deep: ["{{ a }}"]}}
                  - {name: list, arguments: {}}
              - {role: tool, content: "found {{ a }}"}
              - {role: tool, content: nothing}
        factors: {a: [/srv]}
        """,
        FULL,
    )
    (condition,) = conditions(suite, [0])
    read = {"name": "read", "arguments": {"path": "/srv/x", "lines": 3, "deep": ["/srv"]}}
    listed = {"name": "list", "arguments": {}}
    assert condition.messages[1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": read},
                {"id": "call_2", "type": "function", "function": listed},
            ],
        },
        {"role": "tool", "content": "found /srv", "tool_call_id": "call_1", "name": "read"},
        {"role": "tool", "content": "nothing", "tool_call_id": "call_2", "name": "list"},
    ]


def test_two_cells_that_send_the_same_are_refused_and_the_unused_factor_is_named() -> None:
    suite = suite_of(ASK, FACTORS + "  weather: [sun, rain]\n", FULL)
    with pytest.raises(InputError) as caught:
        list(conditions(suite, draw(suite)))
    assert "two cells send the same messages and tools" in str(caught.value)
    assert "weather='sun'" in str(caught.value) and "weather='rain'" in str(caught.value)
    assert "factor weather appears in no template and offers no tool; use it or remove it" in str(
        caught.value
    )


def test_two_tasks_that_send_the_same_are_refused_and_both_are_named() -> None:
    suite = suite_of(ASK.replace("second", "first"), FACTORS, FULL)
    with pytest.raises(InputError, match=r"cell 0: task 'one' at [^\n]*\n  cell 36: task 'two' at"):
        list(conditions(suite, [0, 36]))


def test_an_extra_tool_that_the_task_offers_anyway_is_refused() -> None:
    ask = "messages: [{role: user, content: hello}]\ntasks: [{id: x, tools: [drop]}]\n"
    factors = "factors:\n  extra: {levels: [none, delete], offers: {delete: drop}}\n"
    with pytest.raises(InputError, match="extra changes nothing here"):
        list(conditions(suite_of(ask, factors, TOOLS, FULL), [0, 1]))


def test_the_same_cell_may_be_asked_for_twice() -> None:
    assert len(list(conditions(suite_of(ASK, FACTORS, FULL), [5, 6, 5]))) == 3


def test_a_template_that_fails_at_one_level_names_the_cell() -> None:
    suite = suite_of(
        "messages: [{role: user, content: '{{ 1 / (a | int) }}'}]\ntasks: [{id: x}]\nfactors: {a: [1, 0]}\n",
        FULL,
    )
    with pytest.raises(InputError, match="task 'x' at a='0': ZeroDivisionError"):
        list(conditions(suite, [0, 1]))
