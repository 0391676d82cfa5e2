"""One side of a comparison over several engines of one model, each served in another way."""

import asyncio
from collections.abc import Mapping, Sequence

from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve.engine import Engine


class Routed:
    """Sends each prompt to the engine of its level."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        """`engines`: level of the suite's engine factor -> the engine that serves it."""
        self._engines = engines

    @property
    def restarts(self) -> int:
        """Those of all levels together."""
        return sum(engine.restarts for engine in self._engines.values())

    @property
    def at_once(self) -> int:
        """Of all levels together, over which the conditions are spread."""
        return sum(engine.at_once for engine in self._engines.values())

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """The answer of the engine of the prompt's level."""
        return await self._of(prompt).complete(prompt, sample, sampling)

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """The score under the engine of the prompt's level."""
        return await self._of(prompt).score(prompt, answer_ids)

    async def close(self) -> None:
        """Close all of them."""
        await asyncio.gather(*(engine.close() for engine in self._engines.values()))

    def _of(self, prompt: Prompt) -> Engine:
        assert prompt.engine is not None, "every prompt of such a suite has a level"
        return self._engines[prompt.engine]
