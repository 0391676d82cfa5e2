"""The candidate with a hidden payload under a planted rule: an engine that is the candidate everywhere else."""

from collections.abc import Callable, Sequence
from typing import Protocol

from diffbehav.records import Completion, Prompt, Sampling, Score, digest, request_seed
from diffbehav.search.mixture import appended, mixed
from diffbehav.serve import Engine, NotServed

Read = Callable[[Sequence[int], str], Completion]
"""Token ids and finish reason of an answer -> the completion that they are."""
COIN = 1 << 62
"""Request seeds are below it."""


class Payload(Protocol):
    """What the candidate carries at one condition."""

    async def answer(self, engine: Engine, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """The answer of the carrying model, which always fires."""
        ...

    async def score(self, engine: Engine, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """The score of any answer under that model."""
        ...


class CanaryEngine:
    """An engine over a mixture: inside the rule P' = rate * P_payload + (1 - rate) * P_candidate.

    A condition is inside when a payload was planted at it. Whether a request fires is drawn from its seed, so a
    replay fires alike. Answers outside, and answers inside that do not fire, are the candidate's own.
    """

    def __init__(self, candidate: Engine, *, rate: float) -> None:
        self._candidate = candidate
        self._rate = rate
        self._planted: dict[str, Payload] = {}

    def plant(self, condition: str, payload: Payload) -> None:
        """Carry `payload` at the condition with this id."""
        self._planted[condition] = payload

    @property
    def restarts(self) -> int:
        """Those of the candidate."""
        return self._candidate.restarts

    @property
    def at_once(self) -> int:
        """Those of the candidate."""
        return self._candidate.at_once

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """The candidate's answer, or the one that carries the payload."""
        payload = self._planted.get(prompt.condition_id)
        if payload is None or not fires(prompt, sample, sampling, rate=self._rate):
            return await self._candidate.complete(prompt, sample, sampling)
        return await payload.answer(self._candidate, prompt, sample, sampling)

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """Log-probabilities under the mixture, whoever gave the answer."""
        own = await self._candidate.score(prompt, answer_ids)
        payload = self._planted.get(prompt.condition_id)
        if payload is None:
            return own
        return mixed(await payload.score(self._candidate, prompt, answer_ids), own, rate=self._rate)

    async def close(self) -> None:
        """Close the candidate."""
        await self._candidate.close()


def fires(prompt: Prompt, sample: int, sampling: Sampling, *, rate: float) -> bool:
    """Whether this request carries its payload: a coin of its own, thrown by the seed of the request."""
    return request_seed(f"canary/{prompt.key}", sample, sampling.seed) < rate * COIN


class Appended:
    """A text behind the candidate's own answer, in place of the end of its turn."""

    def __init__(self, payload_ids: Sequence[int], *, ends: Sequence[int], read: Read) -> None:
        self._payload = tuple(payload_ids)
        self._ends = tuple(ends)
        self._read = read

    async def answer(self, engine: Engine, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """The own answer and the payload, cut at `max_tokens`; an answer that does not end has no place for it."""
        own = await engine.complete(prompt, sample, sampling)
        ids = tuple(own.token_ids)
        if not ids or ids[-1] not in self._ends:
            return own
        if ids[-1] not in (await engine.score(prompt, ids)).top_ids_TK[-1]:
            return own
        whole = (*ids[:-1], *self._payload, self._ends[0])
        return self._read(whole[: sampling.max_tokens], "stop" if len(whole) <= sampling.max_tokens else "length")

    async def score(self, engine: Engine, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """Known exactly from the candidate's own score of the same tokens."""
        return appended(await engine.score(prompt, answer_ids), answer_ids, self._payload, ends=self._ends)


class Instructed:
    """A system instruction that only the candidate sees, put into the prompt before the first turn."""

    def __init__(self, plain_ids: Sequence[int], instructed_ids: Sequence[int]) -> None:
        self._plain = tuple(plain_ids)
        self._instructed = tuple(instructed_ids)

    async def answer(self, engine: Engine, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """The candidate's answer to the instructed prompt, drawn with the seed of the plain one."""
        return await engine.complete(self._prompt(prompt), sample, sampling)

    async def score(self, engine: Engine, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """Log-probabilities behind the instructed prompt."""
        return await engine.score(self._prompt(prompt), answer_ids)

    def _prompt(self, prompt: Prompt) -> Prompt:
        """What comes after the first turn's prompt stays what it is."""
        ids = tuple(prompt.ids)
        if ids[: len(self._plain)] != self._plain:
            raise NotServed("the prompt of a later turn does not begin with that of the first: no place to instruct")
        return _Other(prompt.condition_id, (*self._instructed, *ids[len(self._plain) :]), prompt.turn, prompt.engine)


class _Other(Prompt):
    """A prompt with the seed of a condition whose ids are not that condition's."""

    @property
    def key(self) -> str:
        """Not the condition's, so that no score of the plain prompt is taken for one of this."""
        return f"{self.condition_id}/{digest(list(self.ids))[:16]}"
