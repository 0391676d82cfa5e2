"""What a model folder says about its tokenizer and its chat template."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffbehav.errors import InputError
from diffbehav.intake.json_file import read_json
from diffbehav.intake.regular import check_regular
from diffbehav.records import digest

DEFAULT = "default"
NAMED_TEMPLATES = "additional_chat_templates"
"""Folder of templates beside the default one."""
_LARGEST_TEMPLATE = 1 << 20
_MOST_TEMPLATES = 100
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
    added: Mapping[str, Any]
    """Added token -> its id and flags."""
    parts: Mapping[str, str]
    """Part of tokenizer.json -> its digest."""


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
    try:
        flags = {str(token["content"]): token for token in added}
        special = {content: token["id"] for content, token in flags.items() if token.get("special")}
        vocabulary = _vocabulary(model["vocab"]) | {content: token["id"] for content, token in flags.items()}
        parts = {name: whole.get(name) for name in _DECIDES_IDS} | {"model": _one_spelling(model)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a tokenizer ({error!r:.200}). Copy the file again from its source.") from error
    digests = {name: digest(part) for name, part in parts.items()}
    return TokenizerFile(digest=digest(parts), vocabulary=vocabulary, special=special, added=flags, parts=digests)


def read_chat_template(folder: Path) -> str:
    """The chat template of a model folder: chat_template.jinja, else the one in tokenizer_config.json."""
    template = read_chat_templates(folder).get(DEFAULT)
    if template is None:
        raise InputError(f"{folder}: no chat template. Add a chat_template.jinja, for example the base model's.")
    return template


def read_chat_templates(folder: Path) -> Mapping[str, str]:
    """Every chat template that a server would find: name -> text, the default one as DEFAULT.

    Where tools are offered, one called `tool_use` is taken in place of the default.
    """
    files = sorted((folder / NAMED_TEMPLATES).glob("*.jinja"))
    if len(files) > _MOST_TEMPLATES:
        raise InputError(f"{folder / NAMED_TEMPLATES}: {len(files):,} templates; at most {_MOST_TEMPLATES} are read.")
    found = {file.stem: _text(file) for file in files}
    file = folder / "chat_template.jinja"
    if file.exists():
        return found | {DEFAULT: _text(file)}
    config = folder / "tokenizer_config.json"
    template = read_json(config).get("chat_template") if config.is_file() else None
    entries = template if isinstance(template, list) else [{"name": DEFAULT, "template": template}]
    named = {str(each.get("name")): each.get("template") for each in entries if isinstance(each, dict)}
    inline = {name: text for name, text in named.items() if isinstance(text, str)}
    for text in inline.values():
        _check_size(config, len(text))
    return inline | found


def _check_size(path: Path, size: int) -> None:
    if size > _LARGEST_TEMPLATE:
        raise InputError(f"{path}: a chat template of {size:,} bytes; at most {_LARGEST_TEMPLATE:,} are read.")


def _text(path: Path) -> str:
    check_regular(path)
    _check_size(path, path.stat().st_size)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error}). Copy the file again from its source.") from error


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
