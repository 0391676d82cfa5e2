"""What every engine does: answer a prompt, score a given answer."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from diffbehav.errors import InputError
from diffbehav.records import Completion, Prompt, Sampling, Score


class NotServed(InputError):
    """This one request has no result; the message is the reason to store in place of the number."""


class NotStored(NotServed):
    """A replay was asked for something the earlier run does not hold."""


class Engine(Protocol):
    """Answers and scores under one model.

    The seed of a request is `records.request_seed(prompt.condition_id, sample, sampling.seed, prompt.turn)`, so
    two engines asked with one `Sampling` draw with common random numbers. Temperature 0 is greedy.
    """

    @property
    def restarts(self) -> int:
        """How often the process behind it died and was started again."""
        ...

    @property
    def at_once(self) -> int:
        """Requests that keep it busy while others of the same conditions wait for their turn."""
        ...

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """One sampled answer; its token ids include the token that ends the turn."""
        ...

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """Teacher-forced log-probabilities of a given answer, at temperature 1."""
        ...

    async def close(self) -> None:
        """Give back processes and memory; a second call does nothing."""
        ...


class Engines(NamedTuple):
    """The two sides of a comparison; they may share one process."""

    candidate: Engine
    trusted: Engine

    @property
    def restarts(self) -> int:
        """Restarts of the side that had most."""
        return max(self.candidate.restarts, self.trusted.restarts)

    def conditions_at_once(self, samples: int) -> int:
        """Conditions that keep both busy, at `samples` answers a side: few enough to be ended soon on an interrupt."""
        return -(-max(self.candidate.at_once, self.trusted.at_once) // samples)

    async def close(self) -> None:
        """Give back both."""
        await self.candidate.close()
        await self.trusted.close()
