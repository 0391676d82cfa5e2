"""Differences of configuration and tokenizer between two model folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.intake.json_file import read_json
from diffbehav.intake.tokenizer_file import TokenizerFile, read_tokenizer
from diffbehav.records import differences

CONFIGURATIONS = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "params.json", "hf_quant_config.json",
)  # fmt: skip
MOST = 50
"""Differences of one kind that are listed; all are counted."""


class Setting(NamedTuple):
    """A place in a JSON file with another value; None where a side has none."""

    file: str
    path: str
    candidate: Any
    trusted: Any


class TokenizerDifference(NamedTuple):
    """Two tokenizers. Lists are cut at MOST."""

    sizes: tuple[int, int]
    """Tokens in the vocabulary, added ones included; candidate, trusted."""
    parts: Sequence[str]
    """Parts of tokenizer.json that differ."""
    only_candidate: Sequence[str]
    only_trusted: Sequence[str]
    moved: Sequence[tuple[str, int, int]]
    """Tokens with another id: token, candidate's, trusted."""
    special: Sequence[tuple[str, int | None, int | None]]
    """Special tokens that are not the same: token, candidate's id, trusted id; None where it is not special."""
    added: Sequence[tuple[str, Any, Any]]
    """Added tokens with another id or other flags."""
    counts: Mapping[str, int]
    """How many of each there are."""


def setting_differences(candidate: Path, trusted: Path) -> list[Setting]:
    """Every place in which the configurations differ, the chat template left out."""
    return [
        Setting(name, path.removeprefix("."), ours, theirs)
        for name in CONFIGURATIONS
        for path, ours, theirs in differences("", _read(candidate / name), _read(trusted / name))
    ]


def tokenizer_difference(candidate: Path, trusted: Path) -> TokenizerDifference:
    """What differs between the two tokenizer.json."""
    return _difference(read_tokenizer(candidate), read_tokenizer(trusted))


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    return {key: value for key, value in read_json(path).items() if key != "chat_template"}


def _difference(ours: TokenizerFile, theirs: TokenizerFile) -> TokenizerDifference:
    only_candidate = sorted(ours.vocabulary.keys() - theirs.vocabulary.keys())
    only_trusted = sorted(theirs.vocabulary.keys() - ours.vocabulary.keys())
    both = ours.vocabulary.keys() & theirs.vocabulary.keys()
    moved = sorted(
        (token, ours.vocabulary[token], theirs.vocabulary[token])
        for token in both
        if ours.vocabulary[token] != theirs.vocabulary[token]
    )
    special = [(token, a, b) for token, a, b in _pairs(ours.special, theirs.special) if a != b]
    added = [(token, a, b) for token, a, b in _pairs(ours.added, theirs.added) if a != b]
    lists: dict[str, Any] = {
        "only_candidate": only_candidate, "only_trusted": only_trusted, "moved": moved, "special": special,
        "added": added,
    }  # fmt: skip
    return TokenizerDifference(
        sizes=(len(ours.vocabulary), len(theirs.vocabulary)),
        parts=[name for name, a, b in _pairs(ours.parts, theirs.parts) if a != b],
        counts={name: len(each) for name, each in lists.items()},
        **{name: each[:MOST] for name, each in lists.items()},
    )


def _pairs(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(key, ours.get(key), theirs.get(key)) for key in sorted(ours.keys() | theirs.keys())]
