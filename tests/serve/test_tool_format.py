"""The tool format is told from what the chat template writes for a call, and never guessed."""

from pathlib import Path

import pytest

from diffbehav.errors import InputError
from diffbehav.organism import NAMES, shipped
from diffbehav.serve import AUTO, FORMATS, Renderer, chosen_format

JSON_CALL = '{"name": "\' + call.function.name + \'", "arguments": \' + (call.function.arguments | tojson) + \'}'
TURNS = {
    "hermes": "\\n<tool_call>\\n" + JSON_CALL + "\\n</tool_call>",
    "hermes, arguments first": (
        '<tool_call>{ "arguments": \' + (call.function.arguments | tojson) + \', "name": "x"}</tool_call>'
    ),
    "qwen3_coder": "<tool_call>\\n<function=' + call.function.name + '>\\n<parameter=city>\\nParis\\n</parameter>\\n",
    "mistral, by list": "[TOOL_CALLS] [" + JSON_CALL + "]",
    "mistral, by name": "[TOOL_CALLS]' + call.function.name + '[ARGS]' + (call.function.arguments | tojson) + '",
    "llama3_json": JSON_CALL.replace("arguments\"", "parameters\""),
    "llama3_json, tagged": (
        '<|python_tag|>{"type": "function", "name": "\' + call.function.name + \'", "parameters": {}}'
    ),
    "pythonic": "[' + call.function.name + '(city=Paris)]",
}
OTHERS = {
    "another tag": "<|tool_call|>[" + JSON_CALL + "]<|/tool_call|>",
    "XML of another kind": "<tool_call>' + call.function.name + '\\n<arg_key>city</arg_key>\\n</tool_call>",
    "bare JSON of another kind": JSON_CALL,
}


def renderer(tiny: Path, tmp_path: Path, call: str, *, keeps_text: bool = True) -> Renderer:
    """The tiny model with a template that writes calls so."""
    for file in tiny.iterdir():
        (tmp_path / file.name).symlink_to(file)
    template = tmp_path / "chat_template.jinja"
    template.unlink()
    text = "message.content" if keeps_text else "(message.content if not message.tool_calls else '')"
    template.write_text(
        "{% for message in messages %}<|{{ message.role }}|>{{ " + text + " }}"
        "{% for call in message.tool_calls or [] %}{{ '" + call + "' }}{% endfor %}<|end|>{% endfor %}"
    )
    return Renderer(tmp_path)


@pytest.mark.parametrize("keeps_text", [True, False], ids=["beside the text", "instead of the text"])
@pytest.mark.parametrize("name", TURNS)
def test_the_format_is_what_the_template_writes(tiny: Path, tmp_path: Path, name: str, keeps_text: bool) -> None:
    expected = name.partition(",")[0]
    assert chosen_format(AUTO, renderer(tiny, tmp_path, TURNS[name], keeps_text=keeps_text)) == expected


@pytest.mark.parametrize("name", OTHERS)
def test_another_form_is_refused_and_shown(tiny: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"writes a tool call as .*none of the formats; .*--tool-format: hermes"):
        chosen_format(AUTO, renderer(tiny, tmp_path, OTHERS[name]))


def test_a_template_that_writes_no_calls_is_refused(tiny: Path) -> None:
    with pytest.raises(InputError, match=r"writes no tool calls.*--tool-format"):
        chosen_format(AUTO, Renderer(tiny))


@pytest.mark.parametrize("failing", ["raise_exception('no tools')", "'text' + call"])
def test_a_template_that_fails_on_a_call_is_refused(tiny: Path, tmp_path: Path, failing: str) -> None:
    with pytest.raises(InputError, match=r"cannot be told.*--tool-format"):
        chosen_format(AUTO, renderer(tiny, tmp_path, f"' + {failing} + '"))


def test_a_named_format_is_taken_as_it_is(tiny: Path) -> None:
    assert chosen_format("pythonic", Renderer(tiny)) == "pythonic"


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_model_writes_hermes(name: str) -> None:
    assert chosen_format(AUTO, Renderer(shipped(name))) == "hermes"


def test_whatever_is_told_is_a_format() -> None:
    assert {name.partition(",")[0] for name in TURNS} <= FORMATS.keys()
