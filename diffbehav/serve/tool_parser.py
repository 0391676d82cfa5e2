"""Tool calls in an answer, read by the parser that vLLM would use when it serves the model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from diffbehav.errors import InputError
from diffbehav.records import ToolCall, well_formed
from diffbehav.serve.parsed import TOO_DEEP, Parsed, is_too_deep, judged, without

_REMEMBERED = 65_536
_CALLS_AT_ONCE = 32
NOTHING_READ = "no call could be read"


@dataclass(frozen=True, slots=True)
class Format:
    """How a format marks its calls, beyond what vLLM's parser tells."""

    attempt: re.Pattern[str]
    """Found where an answer tries a call, well formed or not; asked when no call could be read."""
    opening: str | None = None
    """What opens each call, where the parser drops a call and keeps the others."""
    closing: str | None = None
    """What closes each call, where the parser takes a call that was cut for whole."""
    value: re.Pattern[str] | None = None
    """An argument, in which markup means nothing; its group matches where it is not closed."""
    seam: re.Pattern[str] | None = None
    """Ends where a call ends, where the parser's time grows with the square of the number of calls."""
    most: Mapping[str, int] = field(default_factory=dict)
    """Text -> how often a call may hold it: the parser's time grows with the square of that number."""


_XML = Format(
    attempt=re.compile(r"<tool_call>|<function="),
    opening="<tool_call>",
    closing="</function>",
    value=re.compile(r"<parameter=.*?(?:</parameter>|(\Z))", re.DOTALL),
    seam=re.compile(r"</function>\s*</tool_call>"),
    most={">": 2_000, "<parameter=": 2_000},
)
FORMATS: Mapping[str, Format] = {
    "hermes": Format(attempt=re.compile(r"<tool_call>")),
    "qwen3_coder": _XML,
    "qwen3_xml": _XML,
    "llama3_json": Format(
        attempt=re.compile(
            r'<\|python_tag\|>|\A\s*\{\s*"(?:name|type)"\s*:|'
            r'\{\s*"name"\s*:\s*"[^"]*"\s*,\s*"(?:parameters|arguments)"\s*:'
        ),
        opening="<|python_tag|>",
    ),
    "mistral": Format(attempt=re.compile(r"\[TOOL_CALLS\]"), opening="[TOOL_CALLS]"),
    "pythonic": Format(attempt=re.compile(r"\[\s*[^\W\d][\w.]*\(\s*(?:\)|[^\W\d]\w*\s*=)")),
}
"""Format name, as in vLLM's --tool-call-parser -> its markup."""
_MISTRAL_BY_NAME = Format(
    attempt=re.compile(r"\[TOOL_CALLS\]"),
    opening="[TOOL_CALLS]",
    seam=re.compile(r"(?<=\})(?=\[TOOL_CALLS\])"),
    most={"": 100_000, "{": 5_000},
)
"""`[TOOL_CALLS]name[ARGS]{...}`, written by models whose vocabulary has [ARGS]; the others write a JSON list."""


class ToolCallParser:
    """Parses answers of one model's format. The same text is parsed once."""

    def __init__(self, tokenizer: Any, *, tool_format: str) -> None:
        if tool_format not in FORMATS:
            raise InputError(f"tool format {tool_format!r} is unknown; known are {', '.join(FORMATS)}.")
        # Importing vLLM takes seconds and needs the environment prepared.
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.tool_parsers import ToolParserManager

        self._tokenizer = tokenizer
        by_name = tool_format == "mistral" and "[ARGS]" in tokenizer.get_vocab()
        self._format = _MISTRAL_BY_NAME if by_name else FORMATS[tool_format]
        self._parser = ToolParserManager.get_tool_parser(tool_format)
        self._request = ChatCompletionRequest(messages=[{"role": "user", "content": ""}], model="")
        self.parse = lru_cache(maxsize=_REMEMBERED)(self._parse)
        try:
            self._parser(tokenizer)
        except RuntimeError as error:
            raise InputError(
                f"tool format {tool_format!r} does not fit the model's tokenizer: {error} Choose another --tool-format."
            ) from error

    def _parse(self, text: str) -> Parsed:
        attempted = bool(self._format.attempt.search(text))
        pieces = self._pieces(text)
        refused = TOO_DEEP if is_too_deep(text) else self._too_much(pieces)
        if refused:
            return Parsed(text, (), "failed", refused) if attempted else Parsed(text, (), "none")
        try:
            found = [self._parser(self._tokenizer).extract_tool_calls(piece, self._request) for piece in pieces]
        except Exception as error:  # noqa: BLE001  a text that breaks the parser must not end the run
            return Parsed(text, (), "failed", f"vLLM's parser failed: {type(error).__name__}")
        functions = [call.function for each in found for call in each.tool_calls]
        # What is stored of a call, and what is rendered of it in the next turn, has to be the same text.
        calls = tuple(ToolCall(well_formed(each.name), well_formed(each.arguments)) for each in functions)
        if not calls:
            return Parsed(text, (), "failed", NOTHING_READ) if attempted else Parsed(text, (), "none")
        content = found[0].content or ""
        lost = self._lost(text, len(calls))
        return Parsed(content, calls, "failed", lost) if lost else judged(content, calls)

    def _pieces(self, text: str) -> list[str]:
        """Some calls at a time: what ends a call leaves nothing that the parser would remember."""
        seams = [] if self._format.seam is None else [found.end() for found in self._format.seam.finditer(text)]
        cuts = [0, *seams[_CALLS_AT_ONCE - 1 :: _CALLS_AT_ONCE], len(text)]
        return [text[start:stop] for start, stop in zip(cuts[:-1], cuts[1:], strict=True) if start < stop]

    def _too_much(self, pieces: Sequence[str]) -> str:
        for mark, most in self._format.most.items():
            if any(piece.count(mark) > most for piece in pieces):
                what = repr(mark) if mark else "characters"
                return f"a call holds more than {most:,} {what}, which vLLM's parser takes too long for"
        return ""

    def _lost(self, text: str, read: int) -> str:
        """Why a call that was opened is not among those that were read, or not as it was meant; empty where none is."""
        markup = text if self._format.value is None else without(self._format.value, text)
        opened = 0 if self._format.opening is None else markup.count(self._format.opening)
        if opened > read:
            return f"{opened} calls were opened, {read} could be read"
        if self._format.closing is not None and markup.count(self._format.closing) < read:
            return "a call is not closed"
        return ""
