"""What a model folder says about its tokenizer and its chat template."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbehav.errors import InputError
from diffbehav.intake.json_file import read_json
from diffbehav.records import digest

_DECIDES_IDS = ("added_tokens", "normalizer", "pre_tokenizer", "model", "decoder")


@dataclass(frozen=True, slots=True)
class TokenizerFile:
    """tokenizer.json, reduced to what decides the token ids of a rendered chat."""

    digest: str
    """Digest of those parts: padding and truncation settings, which training leaves behind, do not count."""
    vocabulary: Mapping[str, int]
    """Token -> id, added tokens included."""
    special: Mapping[str, int]
    """The added tokens marked as special."""


def read_tokenizer(folder: Path) -> TokenizerFile:
    """Reads tokenizer.json of a model folder."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(
            f"{folder}: no tokenizer.json. Write one with "
            "transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
        )
    whole = read_json(path)
    model, added = whole.get("model"), whole.get("added_tokens") or []
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
        raise InputError(f"{path}: has no model.vocab. Copy the file again from its source.")
    special = {token["content"]: token["id"] for token in added if token.get("special")}
    vocabulary = _vocabulary(model["vocab"]) | {token["content"]: token["id"] for token in added}
    parts = {name: whole.get(name) for name in _DECIDES_IDS} | {"model": _one_spelling(model)}
    return TokenizerFile(digest=digest(parts), vocabulary=vocabulary, special=special)


def read_chat_template(folder: Path) -> str:
    """The chat template of a model folder: chat_template.jinja, else the one in tokenizer_config.json."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    template = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not isinstance(template, str):
        raise InputError(f"{folder}: no chat template. Add a chat_template.jinja, for example the base model's.")
    return template


def _vocabulary(vocab: dict[str, int] | list[tuple[str, float]]) -> dict[str, int]:
    """BPE and WordPiece store token -> id; Unigram stores a list of (token, score)."""
    if isinstance(vocab, dict):
        return dict(vocab)
    return {token: index for index, (token, _) in enumerate(vocab)}


def _one_spelling(model: dict[str, Any]) -> dict[str, Any]:
    """Merges are stored as "a b" or as ["a", "b"], depending on the writer's version."""
    merges = model.get("merges")
    if not merges:
        return model
    return model | {"merges": [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]}
