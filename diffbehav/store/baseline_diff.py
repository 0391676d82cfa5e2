"""Two baselines side by side: which fields of their manifests, conditions and trusted answers differ."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from diffbehav.records import differences
from diffbehav.store.baseline_folder import BaselineFolder, check_whole, present, read_manifest
from diffbehav.store.parts import read_parquet
from diffbehav.store.run_folder import RunFolder

_FOLLOWS = ("digest", "files", "history")
"""Keys of a manifest that differ because others do."""
_KEY = ["condition_id", "sample", "turn"]
_WRITTEN = ["text", "calls"]


class Changed(NamedTuple):
    """One answer that both baselines hold and that is not the same. Texts and calls are a model's."""

    condition_id: str
    sample: int
    turn: int
    first_text: str
    second_text: str
    first_calls: str
    """JSON array of {"name", "arguments"}."""
    second_calls: str


class BaselineDiff(NamedTuple):
    """How a second baseline differs from a first one."""

    fields: Sequence[tuple[str, Any, Any]]
    """Path in the manifest, both values; None where one has none."""
    conditions: int
    """That both hold."""
    only_first: int
    only_second: int
    answers: int
    """Of a condition, sample and turn that both hold."""
    text_differs: int
    calls_differ: int
    """As written."""
    examples: Sequence[Changed]


def compare_baselines(first: BaselineFolder, second: BaselineFolder, *, examples: int) -> BaselineDiff:
    """Every difference of the manifests, counts of the others, and the first so many answers that differ.

    IntegrityError where one of the two is not what was pinned.
    """
    manifests = [read_manifest(each) for each in (first, second)]
    for folder, manifest in zip((first, second), manifests, strict=True):
        check_whole(folder, manifest)
    compared = [{key: value for key, value in each.items() if key not in _FOLLOWS} for each in manifests]
    a, b = (present(folder, manifest) for folder, manifest in zip((first, second), manifests, strict=True))
    ours, theirs = (set(read_parquet(each.conditions, columns=["condition_id"])["condition_id"]) for each in (a, b))
    both = _hashes(a).join(_hashes(b), on=_KEY, suffix="_second")
    other_text, other_calls = (pl.col(name) != pl.col(f"{name}_second") for name in _WRITTEN)
    chosen = both.filter(other_text | other_calls).sort(_KEY).head(examples)
    return BaselineDiff(
        fields=[(path[1:], old, new) for path, old, new in differences("", compared[0], compared[1])],
        conditions=len(ours & theirs),
        only_first=len(ours - theirs),
        only_second=len(theirs - ours),
        answers=both.height,
        text_differs=both.filter(other_text).height,
        calls_differ=both.filter(other_calls).height,
        examples=_examples(a, b, chosen.select(_KEY)),
    )


def _hashes(stored: RunFolder) -> pl.DataFrame:
    """A row per trusted answer: what it answers, and 64 bits of its text and its calls in place of them."""
    hashed = [pl.col(name).hash() for name in _WRITTEN]
    return pl.concat(part.select(*_KEY, *hashed) for part in _answers(stored))


def _answers(stored: RunFolder) -> list[pl.DataFrame]:
    paths = sorted(stored.completions("trusted").glob("part-*.parquet"))
    return [read_parquet(path, columns=[*_KEY, *_WRITTEN]) for path in paths]


def _examples(first: RunFolder, second: RunFolder, keys: pl.DataFrame) -> list[Changed]:
    if keys.is_empty():
        return []
    a, b = (pl.concat(part.join(keys, on=_KEY) for part in _answers(each)) for each in (first, second))
    columns = [f"{name}{suffix}" for name in _WRITTEN for suffix in ("", "_second")]
    rows = a.join(b, on=_KEY, suffix="_second").sort(_KEY).select(*_KEY, *columns)
    return [Changed(*row) for row in rows.iter_rows()]
