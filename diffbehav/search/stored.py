"""An engine that answers from a run where the run holds the answer, and asks the live model else."""

from collections.abc import Sequence

from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve import Engine, NotStored


class StoredFirst:
    """The side of a run and its live model as one engine; closing it leaves the live one open."""

    def __init__(self, stored: Engine, live: Engine) -> None:
        self._stored = stored
        self._live = live

    @property
    def restarts(self) -> int:
        """Those of the live model."""
        return self._live.restarts

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
