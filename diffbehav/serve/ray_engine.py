"""One side of a comparison in the workers of a Ray cluster, asked condition by condition."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.serve.engine import Engine, Engines

if TYPE_CHECKING:
    from diffbehav.serve.ray_pool import Place, Pool

_REMEMBERED = 4096
Drawn = tuple[str, tuple[int, ...]]


class RayEngine:
    """Asks the worker that has least to do; an answer is scored where it was drawn, which often knows the score."""

    def __init__(self, pool: "Pool", engine: int) -> None:
        """`engine`: its number among the engines of a worker."""
        self.pool = pool
        self._engine = engine
        self._drawn_at: OrderedDict[Drawn, Place] = OrderedDict()

    @property
    def restarts(self) -> int:
        """Workers that were lost and replaced."""
        return self.pool.lost

    @property
    def at_once(self) -> int:
        """Of all workers together."""
        return self.pool.at_once(self._engine) * len(self.pool.places)

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """One sampled answer."""
        answer, place = await self.pool.ask("complete", self._engine, _sent(prompt), sample, sampling)
        assert isinstance(answer, Completion)
        self._drawn_at[prompt.key, tuple(answer.token_ids)] = place
        if len(self._drawn_at) > _REMEMBERED:
            self._drawn_at.popitem(last=False)
        return answer

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """Log-probabilities of a given answer."""
        answer = tuple(answer_ids)
        known_at = self._drawn_at.get((prompt.key, answer))
        score, _ = await self.pool.ask("score", self._engine, _sent(prompt), answer, at=known_at)
        assert isinstance(score, Score)
        return score

    async def close(self) -> None:
        """End the workers, also those engines in them which serve the other side."""
        await self.pool.close()


def pool_of(engines: Engines) -> "Pool | None":
    """The workers that hold both sides; None where one of them is not in a Ray cluster."""
    sides: list[Engine] = list(engines)
    pools = {id(side.pool): side.pool for side in sides if isinstance(side, RayEngine)}
    both = all(isinstance(side, RayEngine) for side in sides)
    return next(iter(pools.values())) if both and len(pools) == 1 else None


def _sent(prompt: Prompt) -> Prompt:
    """Without what only the driver of an episode needs."""
    return Prompt(prompt.condition_id, list(prompt.ids), prompt.turn, prompt.engine)
