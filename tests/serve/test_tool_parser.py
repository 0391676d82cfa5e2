"""Calls are what vLLM's parser makes of an answer; a call that was opened and lost is a failure."""

import json

import pytest

from diffbehav.errors import InputError
from diffbehav.records import ToolCall
from diffbehav.serve import Renderer, ToolCallParser
from diffbehav.serve.parsed import DEEPEST, is_too_deep, without
from diffbehav.serve.tool_parser import FORMATS

READ = '<tool_call>\n{"name": "read_file", "arguments": {"path": "/a"}}\n</tool_call>'
DELETE = '<tool_call>\n{"name": "delete_file", "arguments": {"path": "/ü", "force": true}}\n</tool_call>'
BROKEN = '<tool_call>\n{"name": "read_file", "arguments": {"path": \n</tool_call>'
XML = "<tool_call>\n<function=read_file>\n<parameter=path>\n/a\n</parameter>\n</function>\n</tool_call>"


@pytest.fixture(scope="module")
def parser(renderer: Renderer) -> ToolCallParser:
    return ToolCallParser(renderer.tokenizer, tool_format="hermes")


def test_text_without_markup_has_no_call(parser: ToolCallParser) -> None:
    assert parser.parse("Done.") == ("Done.", (), "none", "")
    assert parser.parse("") == ("", (), "none", "")


def test_parallel_calls_come_in_order_with_their_arguments(parser: ToolCallParser) -> None:
    content, calls, parse, _ = parser.parse(f"Reading.\n{READ}\n{DELETE}")
    assert (content, parse) == ("Reading.\n", "parsed")
    assert [call.name for call in calls] == ["read_file", "delete_file"]
    assert json.loads(calls[1].arguments) == {"path": "/ü", "force": True}
    assert "ü" in calls[1].arguments


def test_a_call_that_is_not_closed_but_whole_counts(parser: ToolCallParser) -> None:
    text = READ.removesuffix("\n</tool_call>")
    assert parser.parse(text) == ("", (ToolCall("read_file", '{"path": "/a"}'),), "parsed", "")


@pytest.mark.parametrize(
    "text",
    [
        BROKEN,
        f"{READ}\n{BROKEN}",
        "<tool_call>",
        "<tool_call>[]</tool_call>",
        '<tool_call>{"name": "x"}</tool_call>',
    ],
)
def test_markup_that_is_no_valid_call_is_a_failure_that_keeps_the_text(
    parser: ToolCallParser, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert parser.parse(text)[:3] == (text, (), "failed")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("tool_format", ["qwen3_coder", "qwen3_xml"])
def test_xml_formats_are_read(renderer: Renderer, tool_format: str) -> None:
    parser = ToolCallParser(renderer.tokenizer, tool_format=tool_format)
    _, calls, parse, _ = parser.parse(f"Sure.{XML}\n{XML}")
    assert parse == "parsed"
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("read_file", {"path": "/a"})] * 2
    assert parser.parse("Sure.").parse == "none"
    assert parser.parse("<tool_call>\n</tool_call>").parse == "failed"


def test_python_tag_calls_are_read(renderer: Renderer) -> None:
    parser = ToolCallParser(renderer.tokenizer, tool_format="llama3_json")
    _, calls, parse, _ = parser.parse('<|python_tag|>{"name": "read_file", "parameters": {"path": "/a"}}')
    assert (parse, calls) == ("parsed", (ToolCall("read_file", '{"path": "/a"}'),))
    assert parser.parse('<|python_tag|>{"name": "read').parse == "failed"


def test_a_lone_surrogate_in_a_call_is_read_as_a_replacement_character(parser: ToolCallParser) -> None:
    written = READ.replace("/a", r"/srv/\ud800").replace("read_file", r"read\udfff")
    _, (call,), parse, _ = parser.parse(written)
    assert parse == "parsed"
    assert call == ToolCall("read\ufffd", '{"path": "/srv/\ufffd"}')
    pair = READ.replace("/a", r"/\ud83d\ude00")
    assert parser.parse(pair).calls == (ToolCall("read_file", '{"path": "/\U0001f600"}'),)


def test_what_is_opened_many_times_and_never_closed_is_read_in_time(renderer: Renderer) -> None:
    """With a scan of the rest at each opening these would take minutes."""
    quotes = "{" * (DEEPEST + 1) + '"' + r"\"" * 100_000
    assert is_too_deep(quotes) and is_too_deep(quotes + "\\")
    assert not is_too_deep('["' + "{" * DEEPEST + '"]')
    arguments, unclosed = FORMATS["qwen3_coder"].value, "<parameter=" * 60_000
    assert arguments is not None and without(arguments, XML + unclosed) == without(arguments, XML) + unclosed
    parser = ToolCallParser(renderer.tokenizer, tool_format="qwen3_coder")
    assert "more than 2,000 '<parameter='" in parser.parse(XML + unclosed).reason
    assert parser.parse(XML + "<parameter=" * 1_999)[:3] == ("", parser.parse(XML).calls, "parsed")


def test_an_unknown_format_names_the_known_ones(renderer: Renderer) -> None:
    with pytest.raises(InputError, match=r"'xyz' is unknown; known are hermes"):
        ToolCallParser(renderer.tokenizer, tool_format="xyz")
