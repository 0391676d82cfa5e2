"""A trusted side that is replayed: from a pinned baseline, or from the folder of an earlier run."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from diffbehav.errors import IntegrityError
from diffbehav.intake import Model, check_comparable, check_current, facts_of
from diffbehav.records import differences
from diffbehav.store import (
    BaselineFolder,
    RowGroups,
    RunFolder,
    check_whole,
    present,
    read_manifest,
    read_settings,
)

NEEDS_LIVE = (
    "text, calls and teacher-forced distances need no trusted model; what it would give for an answer that it did not "
    "give itself is NULL with its reason"
)


class Replayed(NamedTuple):
    """Stored answers in place of a trusted model."""

    place: Path
    """What was named."""
    parts: RunFolder
    """Where conditions, answers and scores lie."""
    settings: Mapping[str, Any]
    """Those of the run that asked the trusted model."""
    manifest: Mapping[str, Any] | None
    """None for a run folder."""

    @property
    def side(self) -> dict[str, Any]:
        """The trusted side as a run.json describes it, with what was replayed."""
        stored = dict(self.settings["sides"]["trusted"])
        if self.manifest is None:
            return stored | {"replayed": self.settings["run_id"]}
        pinned = {"generation": self.manifest["generation"], "digest": self.manifest["digest"]}
        return stored | {"replayed": self.place.resolve().name, "baseline": pinned}

    @property
    def baseline(self) -> dict[str, Any] | None:
        """What a run.json says of a baseline, with what the run that it was pinned from had found; None for a run."""
        if self.manifest is None:
            return None
        kept = {key: self.manifest[key] for key in ("generation", "digest", "pinned", "expires", "found")}
        return {"name": self.place.resolve().name, **kept}

    @property
    def title(self) -> str:
        """What is replayed, in words."""
        if self.manifest is None:
            return f"run {self.settings['run_id']}"
        by, at = self.manifest["pinned"]["by"], self.manifest["pinned"]["at"]
        return f"baseline {self.place.resolve().name}, generation {self.manifest['generation']}, pinned by {by} at {at}"


def find_replayed(place: Path, *, now: datetime) -> Replayed | None:
    """What `place` holds to be replayed; None where it is a model folder.

    IntegrityError for a baseline that was changed since it was pinned, or that is expired `now`.
    """
    if (folder := BaselineFolder(place)).manifest.is_file():
        manifest = read_manifest(folder)
        check_current(manifest, place, now=now)
        check_whole(folder, manifest)
        return Replayed(place, present(folder, manifest), manifest["run"], manifest)
    if (run := RunFolder(place)).settings.is_file():
        return Replayed(place, run, read_settings(run), None)
    return None


def check_same_tokens(replayed: Replayed, candidate: Model) -> None:
    """IntegrityError unless the candidate turns a chat into the tokens that the trusted model got."""
    stored = replayed.settings["sides"]["trusted"]
    for key, value in (("tokenizer", candidate.tokenizer_digest), ("template", candidate.template_digest)):
        if stored[key] != value:
            raise IntegrityError(
                f"{replayed.place}: its trusted model had another {key} (digest {stored[key][:12]}) than "
                f"{candidate.path} ({value[:12]}); their answers cannot be compared token by token"
            )


def check_same_settings(replayed: Replayed, settings: Mapping[str, Any], *, limit: int | None) -> None:
    """IntegrityError naming what keeps the stored answers from being compared with a run of these settings.

    A baseline must be of the same suite and serving. Of a run folder whatever it holds is taken, drawn in the same way.
    """
    if replayed.manifest is not None:
        check_comparable(replayed.settings, facts_of(settings), replayed.place, limit=limit)
        return
    drawn, now = (
        {"tool_format": each["tool_format"], **{key: each["sampling"][key] for key in ("temperature", "max_tokens")}}
        for each in (replayed.settings, settings)
    )
    if drawn != now:
        shown = [f"{path[1:]}: {old!r} in the run, {new!r} now" for path, old, new in differences("", drawn, now)]
        raise IntegrityError(f"{replayed.place}: its answers were drawn in another way: " + "; ".join(shown))


def check_same_prompts(replayed: Replayed, asked: RunFolder) -> None:
    """IntegrityError where a condition was other tokens for the trusted model than it is for this run."""
    stored, now = (_hashed_prompts(folder) for folder in (replayed.parts, asked))
    both = now.join(stored, on="condition_id", suffix="_stored")
    changed = both.filter(pl.col("prompt_ids") != pl.col("prompt_ids_stored"))["condition_id"]
    if changed.len():
        raise IntegrityError(
            f"{replayed.place}: {changed.len():,} of {both.height:,} conditions are other tokens now than they were, "
            f"{changed[0]} among them: the chat template is rendered in another way; ask the trusted model anew"
        )


def _hashed_prompts(folder: RunFolder) -> pl.DataFrame:
    """condition_id, and 64 bits of prompt_ids in their place."""
    groups = RowGroups(folder.conditions, columns=["condition_id", "prompt_ids"])
    return pl.concat(each.with_columns(pl.col("prompt_ids").hash()) for each in groups.each())
