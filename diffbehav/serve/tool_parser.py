"""Tool calls in an answer, read by the parser that vLLM would use when it serves the model."""

from functools import lru_cache
from typing import Any, NamedTuple

from diffbehav.errors import InputError
from diffbehav.records import Parse, ToolCall

FORMATS = {
    "hermes": "<tool_call>",
    "qwen3_coder": "<tool_call>",
    "qwen3_xml": "<tool_call>",
    "llama3_json": "<|python_tag|>",
}
"""Format name, as in vLLM's --tool-call-parser -> the markup that opens each call."""
_REMEMBERED = 65_536


class Parsed(NamedTuple):
    """An answer taken apart."""

    content: str
    """The text beside the calls; the whole text where no call is valid."""
    calls: tuple[ToolCall, ...]
    parse: Parse
    """`failed` when a call was opened and is not among `calls`."""


class ToolCallParser:
    """Parses answers of one model's format. The same text is parsed once."""

    def __init__(self, tokenizer: Any, *, tool_format: str) -> None:
        if tool_format not in FORMATS:
            raise InputError(f"tool format {tool_format!r} is unknown; known are {', '.join(FORMATS)}.")
        # Importing vLLM takes seconds and needs the environment prepared.
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.tool_parsers import ToolParserManager

        self._tokenizer = tokenizer
        self._opening = FORMATS[tool_format]
        self._parser = ToolParserManager.get_tool_parser(tool_format)
        self._request = ChatCompletionRequest(messages=[{"role": "user", "content": ""}], model="")
        self.parse = lru_cache(maxsize=_REMEMBERED)(self._parse)

    def _parse(self, text: str) -> Parsed:
        opened = text.count(self._opening)
        found = self._parser(self._tokenizer).extract_tool_calls(text, self._request)
        calls = tuple(ToolCall(call.function.name, call.function.arguments) for call in found.tool_calls)
        if len(calls) < opened:
            return Parsed(text if not calls else found.content or "", calls, "failed")
        if not calls:
            return Parsed(text, (), "none")
        return Parsed(found.content or "", calls, "parsed")
