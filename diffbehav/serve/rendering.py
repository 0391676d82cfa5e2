"""Text to token ids and back, with the tokenizer and the chat template of a model folder."""

import json
from collections.abc import Mapping, Sequence
from os.path import commonprefix
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from diffbehav.errors import InputError
from diffbehav.records import Message, Tool

_BROKEN = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template raises over a conversation, and the tokenizer over the text that a template makes of it."""
_UNDECODABLE = "\N{REPLACEMENT CHARACTER}"
_WORD_START = "\N{LOWER ONE EIGHTH BLOCK}"


class Renderer:
    """Renders conversations for one model. Loading it imports neither torch nor vLLM."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)
        self._backend = self.tokenizer.backend_tokenizer
        self.eos_ids: Sequence[int] = _eos_ids(folder)

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        """The tokens that are sent: the conversation up to where the model's turn begins.

        InputError where the chat template makes no text of it.
        """
        try:
            ids = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
            )
        except _BROKEN as error:
            raise InputError(f"{self._folder}: the chat template refuses a conversation: {error}.") from error
        return list(ids)

    def encode(self, text: str) -> list[int]:
        """The tokens of `text` inside an answer, without any that the tokenizer adds at its ends."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def call_text(self, name: str, arguments: Mapping[str, Any], tools: Sequence[Tool]) -> str:
        """What the chat template writes for one call behind a text; empty where it writes no calls."""
        said = {"role": "assistant", "content": "."}
        # Templates of Mistral models insist on nine letters or digits.
        call = {"id": "call00001", "type": "function", "function": {"name": name, "arguments": dict(arguments)}}
        bare, whole = (self._text([said], tools), self._text([said | {"tool_calls": [call]}], tools))
        # Some templates leave out the text beside a call.
        head, _, ending = bare.rpartition(said["content"])
        start = len(commonprefix([head, whole]))
        return whole[start:].removesuffix(ending).removeprefix(said["content"])

    def _text(self, turns: Sequence[Message], tools: Sequence[Tool]) -> str:
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [{"role": "user", "content": "."}, *turns], tools=[dict(tool) for tool in tools], tokenize=False
                )
            )
        except _BROKEN as error:
            raise InputError(f"{self._folder}: the chat template refuses a tool call: {error}.") from error

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer, special tokens included, without the token that ended the turn."""
        kept = ids[:-1] if ids and ids[-1] in self.eos_ids else ids
        return str(self._backend.decode(list(kept), skip_special_tokens=False))

    def vocabulary(self) -> list[tuple[int, str]]:
        """Every token id with the text it stands for, or its name where it is only part of a character."""
        names = sorted((index, name) for name, index in self.tokenizer.get_vocab().items())
        texts = self._backend.decode_batch([[index] for index, _ in names], skip_special_tokens=False)
        return [(index, _shown(name, text)) for (index, name), text in zip(names, texts, strict=True)]


def _shown(name: str, text: str) -> str:
    if not text or _UNDECODABLE in text:
        return name
    # A decoder of SentencePiece vocabularies drops the blank in front of the first word.
    return f" {text}" if name.startswith(_WORD_START) and not text.startswith(" ") else text


def _eos_ids(folder: Path) -> Sequence[int]:
    for name in ("generation_config.json", "config.json"):
        path = folder / name
        ids = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
        if ids is not None:
            return tuple(ids) if isinstance(ids, list) else (ids,)
    return ()
