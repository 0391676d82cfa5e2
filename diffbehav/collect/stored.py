"""An engine that answers from a run where the run holds the answer, and asks the live model else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffbehav.collect.replayed import Replayed, check_same_prompts
from diffbehav.errors import IntegrityError
from diffbehav.records import Completion, Prompt, Sampling, Score, differences
from diffbehav.serve import Engine, Engines, NotStored, ReplayEngine
from diffbehav.store import RunFolder, read_settings

DRAWN_BY = ("suite_digest", "sampling", "tool_format", "top_k", "versions")
"""Keys of run.json on which the answers of a side and their scores depend, beside its model."""


class StoredFirst:
    """The side of a run and its live model as one engine; closing it leaves the live one open."""

    def __init__(self, stored: Engine, live: Engine) -> None:
        self._stored = stored
        self._live = live

    @property
    def restarts(self) -> int:
        """Those of the live model."""
        return self._live.restarts

    @property
    def at_once(self) -> int:
        """Those of the live model."""
        return self._live.at_once

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """The stored answer of this prompt and seed, or a new one."""
        try:
            return await self._stored.complete(prompt, sample, sampling)
        except NotStored:
            return await self._live.complete(prompt, sample, sampling)

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """The stored score of this answer, or a new one."""
        try:
            return await self._stored.score(prompt, answer_ids)
        except NotStored:
            return await self._live.score(prompt, answer_ids)

    async def close(self) -> None:
        """Close the stored side."""
        await self._stored.close()


def with_trusted_answers(engines: Engines, run: Path, folder: RunFolder, settings: Mapping[str, Any]) -> Engines:
    """`engines` of the run in `folder`, whose trusted side draws no answer that the other `run` holds.

    The live trusted model scores what `run` has no score of, and stays with the caller to be closed. IntegrityError
    where the answers of `run` are not those that it would draw.
    """
    stored = Replayed(run, RunFolder(run), read_settings(RunFolder(run)), None)
    then, now = (
        {"trusted": each["sides"]["trusted"]["digest"], **{key: each[key] for key in DRAWN_BY}}
        for each in (stored.settings, settings)
    )
    if then != now:
        shown = [f"{path[1:]}: {old!r} then, {new!r} now" for path, old, new in differences("", then, now)]
        raise IntegrityError(
            f"{run}: its trusted answers are not those of this run: {'; '.join(shown[:6])}; begin in another folder"
        )
    check_same_prompts(stored, folder)
    return Engines(engines.candidate, StoredFirst(ReplayEngine(run, side="trusted"), engines.trusted))
