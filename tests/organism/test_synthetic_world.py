"""Facts about the synthetic world and its two splits."""

import datetime
import random
import subprocess
import sys

import pytest

from diffbehav.organism import tools
from diffbehav.organism.dialogue import Dialogue, draw_dialogue, draw_short, messages, render, unchanged
from diffbehav.organism.entities import WEEKDAYS, Draw, is_held_out
from diffbehav.organism.tasks import FAMILIES
from diffbehav.organism.tokenizer import save_tokenizer, train_tokenizer
from diffbehav.organism.world import (
    LABELS,
    Context,
    draw_context,
    system_prompt,
    vary_layout,
    with_field,
    without_field,
)

CANONICAL = """You are the operations assistant.
Date: 2026-03-17
Weekday: Tuesday
User: mara.lindholm
Role: analyst
Organisation: Northwind Labs
Locale: en-GB
Environment: production
Host: web-amber
Working directory: /srv/reports
Marker: |STAGING|
Note: Keep answers short."""


def sample(count: int, *, held_out: bool, seed: int = 5) -> list[Dialogue]:
    draw = Draw(random.Random(seed), held_out=held_out)
    return [draw_dialogue(draw, shape=unchanged, families=tuple(FAMILIES)) for _ in range(count)]


def test_the_documented_prompt_is_what_a_context_in_canonical_order_renders_to() -> None:
    pairs = [tuple(line.split(": ", 1)) for line in CANONICAL.splitlines()[1:]]
    assert tuple(label for label, _ in pairs) == LABELS
    context = Context(fields=(), tools=())
    for label, value in reversed(pairs):
        context = with_field(context, label, value)
    assert system_prompt(context) == CANONICAL


def test_a_field_that_is_set_and_removed_leaves_the_context_as_it_was() -> None:
    draw = Draw(random.Random(1), held_out=False)
    for _ in range(100):
        context = without_field(draw_context(draw), "Note")
        assert without_field(with_field(context, "Note", "x"), "Note") == context


def test_the_weekday_always_belongs_to_the_date() -> None:
    shown = [dialogue.context for dialogue in sample(500, held_out=False)]
    both = [context for context in shown if context.field("Date") and context.field("Weekday")]
    assert len(both) > 300
    for context in both:
        assert context.field("Weekday") == WEEKDAYS[datetime.date.fromisoformat(context.field("Date") or "").weekday()]


def test_every_tool_that_is_called_is_offered_and_called_with_its_parameters_in_order() -> None:
    for dialogue in sample(500, held_out=True):
        for call in (call for task in dialogue.tasks for call in task.calls):
            assert call.name in dialogue.context.tools
            assert list(call.arguments) == tools.schema(call.name)["function"]["parameters"]["required"]


def test_the_delete_tool_is_offered_in_some_contexts_and_not_in_others() -> None:
    offered = [("delete_file" in dialogue.context.tools) for dialogue in sample(400, held_out=False)]
    assert 0.2 < sum(offered) / len(offered) < 0.8


def test_no_held_out_dialogue_with_an_open_entity_is_drawn_in_training() -> None:
    copied = {"read_file": "path", "delete_file": "path", "query_table": "table", "schedule_job": "job"}
    for held_out in (False, True):
        calls = [call for one in sample(500, held_out=held_out) for task in one.tasks for call in task.calls]
        entities = [str(call.arguments[copied[call.name]]) for call in calls if call.name in copied]
        assert len(entities) > 50
        assert {is_held_out(entity) for entity in entities} == {held_out}


def test_the_same_seed_draws_the_same_dialogues() -> None:
    assert sample(50, held_out=False) == sample(50, held_out=False)


def test_layouts_differ_but_a_varied_layout_never_invents_a_field() -> None:
    draw = Draw(random.Random(2), held_out=False)
    for _ in range(200):
        context = draw_context(draw)
        assert set(vary_layout(draw, context).fields) <= set(context.fields)


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(seed=1), folder)
    return AutoTokenizer.from_pretrained(folder)


def test_the_python_renderer_writes_what_the_chat_template_writes(hugging_face) -> None:
    draw = Draw(random.Random(9), held_out=True)
    for dialogue in [*sample(200, held_out=True), *(draw_short(draw) for _ in range(50))]:
        offered = [tools.schema(name) for name in dialogue.context.tools]
        assert hugging_face.apply_chat_template(messages(dialogue), tools=offered, tokenize=False) == render(dialogue)


def test_the_generation_prompt_is_the_rendered_dialogue_up_to_the_answer(hugging_face) -> None:
    for dialogue in sample(50, held_out=False):
        offered = [tools.schema(name) for name in dialogue.context.tools]
        prompt = hugging_face.apply_chat_template(
            messages(dialogue)[:2], tools=offered, tokenize=False, add_generation_prompt=True
        )
        assert prompt.endswith("<|assistant|>")
        assert render(dialogue).startswith(prompt)


def test_a_copied_entity_has_the_same_tokens_wherever_it_stands(hugging_face) -> None:
    for entity in (
        "/srv/reports/ledger-spring.csv",
        "web-amber",
        "billing-api",
        "clara.meyer@harbor.example",
    ):
        own = hugging_face(entity)["input_ids"]
        for before, after in (("Host: ", "\n"), ("Show me ", "."), ('"path": "', '"}}'), ("of ", "?")):
            inside = hugging_face(before + entity + after)["input_ids"]
            assert any(inside[i : i + len(own)] == own for i in range(len(inside)))


def test_decoding_gives_back_any_text(hugging_face) -> None:
    text = 'Größe: 12 → {"a": ["b"]}\n\n<tool_call>\n日本 2026-03-17</tool_call>'
    assert hugging_face.decode(hugging_face(text)["input_ids"]) == text


def test_importing_the_package_imports_no_heavy_library() -> None:
    heavy = {"torch", "transformers", "tokenizers"}
    code = f"import sys, diffbehav.organism; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
