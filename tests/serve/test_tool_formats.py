"""Every format is read as vLLM reads it, whatever a model writes: each outcome is defined and none ends a run."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from diffbehav.errors import InputError
from diffbehav.records import ToolCall
from diffbehav.serve import FORMATS, ToolCallParser, prepare
from diffbehav.serve.chat_message import parsed_message
from diffbehav.serve.parsed import TOO_DEEP
from diffbehav.serve.tool_parser import NOTHING_READ

FIXTURES = Path(__file__).parent / "fixtures"
TAGS = {"llama3_json": ("<|python_tag|>",), "mistral": ("[TOOL_CALLS]",), "mistral_by_name": ("[TOOL_CALLS]", "[ARGS]")}
READERS = ("hermes", "qwen3_coder", "qwen3_xml", "llama3_json", "mistral", "mistral_by_name", "pythonic")
JSON_READERS = ("hermes", "llama3_json", "mistral", "mistral_by_name")

prepare()


def tokenizer(*tags: str) -> PreTrainedTokenizerFast:
    """Bytes, and the tags as tokens of their own."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_tokens([AddedToken(tag, normalized=False) for tag in tags])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.fixture(scope="module")
def parsers() -> dict[str, ToolCallParser]:
    return {
        name: ToolCallParser(tokenizer(*TAGS.get(name, ())), tool_format=name.removesuffix("_by_name"))
        for name in READERS
    }


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return found


WRITTEN = [(name, case) for name in READERS for case in cases(name.replace("qwen3_xml", "qwen3_coder"))]


@pytest.mark.parametrize(("name", "case"), WRITTEN, ids=[f"{name}: {case['what']}" for name, case in WRITTEN])
def test_what_a_model_writes_has_a_defined_outcome(
    parsers: dict[str, ToolCallParser], name: str, case: dict[str, Any]
) -> None:
    parsed = parsers[name].parse(case["text"])
    assert (parsed.parse, parsed.reason) == (case["parse"], case.get("reason", ""))
    assert [call.name for call in parsed.calls] == [tool for tool, _ in case["calls"]]
    for call, (_, arguments) in zip(parsed.calls, case["calls"], strict=True):
        if arguments is not None:
            written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            assert call.arguments == written
    if "content" in case:
        assert parsed.content == case["content"]
    if not parsed.calls:
        assert parsed.content == case["text"]


@pytest.mark.parametrize("case", cases("chat_message"), ids=lambda case: case["what"])
def test_a_message_of_an_endpoint_has_a_defined_outcome(case: dict[str, Any]) -> None:
    parsed = parsed_message(case["message"])
    assert [list(call) for call in map(astuple, parsed.calls)] == case["calls"]
    assert (parsed.content, parsed.parse, parsed.reason) == (case["content"], case["parse"], case["reason"])


def astuple(call: ToolCall) -> tuple[str, str]:
    return call.name, call.arguments


def written(name: str, arguments: list[str]) -> str:
    """Calls of `put` whose argument `x` is given as JSON."""
    if name == "hermes":
        return "\n".join(f'<tool_call>\n{{"name": "put", "arguments": {{"x": {x}}}}}\n</tool_call>' for x in arguments)
    if name.startswith("qwen3"):
        tag = "<tool_call>\n<function=put>\n<parameter=x>\n{}\n</parameter>\n</function>\n</tool_call>"
        return "\n".join(tag.replace("{}", json.loads(x)) for x in arguments)
    if name == "llama3_json":
        return "; ".join(f'{{"name": "put", "parameters": {{"x": {x}}}}}' for x in arguments)
    if name == "mistral":
        return "[TOOL_CALLS] [" + ", ".join(f'{{"name": "put", "arguments": {{"x": {x}}}}}' for x in arguments) + "]"
    if name == "mistral_by_name":
        return "".join(f'[TOOL_CALLS]put[ARGS]{{"x": {x}}}' for x in arguments)
    return "[" + ", ".join(f"put(x={x})" for x in arguments) + "]"


@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_calls_are_all_read(
    parsers: dict[str, ToolCallParser], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is asked here is not how fast the machine is.
    monkeypatch.setenv("VLLM_TOOL_PARSE_REGEX_TIMEOUT_SECONDS", "300")
    parsed = parsers[name].parse(written(name, [f'"{place}"' for place in range(10_000)]))
    assert (parsed.parse, len(parsed.calls)) == ("parsed", 10_000)
    assert [json.loads(call.arguments)["x"] for call in parsed.calls] == [str(place) for place in range(10_000)]


@pytest.mark.parametrize("name", READERS)
def test_a_megabyte_in_one_argument_is_read_or_refused_for_its_length(
    parsers: dict[str, ToolCallParser], name: str
) -> None:
    parsed = parsers[name].parse(written(name, ['"' + "y" * 1_000_000 + '"']))
    if name == "mistral_by_name":
        assert (parsed.parse, parsed.calls) == ("failed", ())
        assert parsed.reason == "a call holds more than 100,000 characters, which vLLM's parser takes too long for"
    else:
        assert (parsed.parse, len(parsed.calls[0].arguments)) == ("parsed", 1_000_009)


@pytest.mark.parametrize(
    ("name", "argument", "most"), [("qwen3_coder", '">"', "2,000 '>'"), ("mistral_by_name", '"{"', "5,000 '{'")]
)
def test_what_would_take_the_parser_minutes_is_refused(
    parsers: dict[str, ToolCallParser], name: str, argument: str, most: str
) -> None:
    parsed = parsers[name].parse(written(name, [argument[0] + argument[1] * 50_000 + argument[2]]))
    assert (parsed.parse, parsed.calls) == ("failed", ())
    assert parsed.reason.startswith(f"a call holds more than {most}")


@pytest.mark.parametrize("levels", [250, 1000, 100_000])
@pytest.mark.parametrize("name", JSON_READERS)
def test_deep_nesting_fails_the_same_wherever_the_reader_is_called_from(
    parsers: dict[str, ToolCallParser], name: str, levels: int
) -> None:
    parsed = parsers[name].parse(written(name, ['{"a":' * levels + "1" + "}" * levels]))
    assert parsed[1:] == ((), "failed", TOO_DEEP)


@pytest.mark.parametrize("name", JSON_READERS)
def test_brackets_inside_a_string_are_no_nesting(parsers: dict[str, ToolCallParser], name: str) -> None:
    text = "[" * 1000 + '\\"' + "{" * 1000
    assert parsers[name].parse(written(name, [f'"{text}"'])).parse == "parsed"
    assert parsers["hermes"].parse("[" * 1000 + " is no call").parse == "none"


def test_deep_nesting_in_other_formats_is_text_or_fails(parsers: dict[str, ToolCallParser]) -> None:
    deep = "[" * 1000 + "1" + "]" * 1000
    assert parsers["pythonic"].parse(f"[put(x={deep})]")[1:] == ((), "failed", TOO_DEEP)
    assert parsers["pythonic"].parse("[put(x=" + "-" * 50_000 + "1)]")[1:] == ((), "failed", NOTHING_READ)
    message = {"tool_calls": [{"function": {"name": "put", "arguments": deep}}]}
    assert parsed_message(message).reason == f"call 1: {TOO_DEEP}"


@pytest.mark.parametrize("name", ["llama3_json", "mistral"])
def test_a_tokenizer_without_the_tag_of_its_format_is_refused_before_anything_is_asked(name: str) -> None:
    with pytest.raises(InputError, match=rf"'{name}' does not fit the model's tokenizer: .*--tool-format"):
        ToolCallParser(tokenizer(), tool_format=name)


def test_every_format_has_outputs_to_read() -> None:
    assert {name.removesuffix("_by_name") for name in READERS} == FORMATS.keys()
