"""Episodes: one side's conversation with a simulated world, turn by turn, each as soon as the last is back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from diffbehav.episode import Result, Simulation, World, changed, continued
from diffbehav.errors import InputError
from diffbehav.records import Completion, Condition, Message, Prompt, Sampling, Tool, canonical_json, digest
from diffbehav.serve import Engine, NotServed
from diffbehav.suite.templates import render

NO_ROOM = "the conversation cannot be rendered"


class Renderer(Protocol):
    """Turns messages and tools into token ids with the chat template."""

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening(Prompt):
    """The first prompt of an episode, with all that it takes to go on from there."""

    messages: Sequence[Message]
    simulation: Simulation
    renderer: Renderer


class Turn(NamedTuple):
    """One turn of one side."""

    prompt: Prompt
    answer: Completion
    results: Sequence[Result] | None
    """Simulated; None where no call was answered."""


class Episode(NamedTuple):
    """One side's whole conversation, at least one turn long."""

    turns: Sequence[Turn]
    ended: str
    """`final` (a turn without calls), `turn_limit`, `length`, `parse_failed` or `unmeasured`; empty where one turn is
    all that was asked for."""
    reason: str | None
    """Why an unmeasured episode could not go on."""
    state: str
    """JSON: what the simulated world has become, as `episode.changed` says it."""

    @property
    def state_digest(self) -> str:
        """Equal for equal states."""
        return digest(self.state)


def first_prompt(condition: Condition, renderer: Renderer) -> Prompt:
    """What a model is asked first at `condition`; an Opening where it is asked for more than one turn."""
    prompt = Prompt(condition.id, renderer.prompt_ids(condition.messages, condition.tools), engine=condition.engine)
    if condition.world is None:
        return prompt
    return opening(prompt, condition.messages, condition.tools, condition.world, renderer)


def opening(
    prompt: Prompt, messages: Sequence[Message], tools: Sequence[Tool], world: Mapping[str, Any], renderer: Renderer
) -> Opening:
    """The opening of the episode that begins with `prompt`; messages, tools and world are those of its condition."""
    simulation = Simulation(world, tools, render)
    return Opening(
        prompt.condition_id, prompt.ids, engine=prompt.engine, messages=messages, simulation=simulation,
        renderer=renderer,
    )  # fmt: skip


async def play(engine: Engine, prompt: Prompt, sample: int, sampling: Sampling) -> Episode | None:
    """The conversation of one model from `prompt` to its end; None where not even the first turn is served.

    A prompt that is no Opening is asked for one turn, and its calls are not answered.
    """
    try:
        answer = await engine.complete(prompt, sample, sampling)
    except NotServed:
        return None
    if not isinstance(prompt, Opening):
        return Episode([Turn(prompt, answer, None)], "", None, "")
    return await _play_on(engine, prompt, answer, sample, sampling)


async def _play_on(
    engine: Engine, opening: Opening, answer: Completion, sample: int, sampling: Sampling
) -> Episode:
    messages, simulation, turns = opening.messages, opening.simulation, list[Turn]()
    prompt: Prompt = opening
    world = simulation.start
    while True:
        ended = _ended(answer, last=prompt.turn + 1 >= simulation.max_turns)
        if ended not in (None, "turn_limit"):
            turns.append(Turn(prompt, answer, None))
            return _episode(turns, str(ended), None, simulation, world)
        world, results = simulation.answer(world, answer.calls)
        turns.append(Turn(prompt, answer, results))
        if ended is not None:
            return _episode(turns, ended, None, simulation, world)
        messages = continued(messages, content=answer.content, calls=answer.calls, results=results)
        try:
            prompt = Prompt(prompt.condition_id, _ids(opening, messages), prompt.turn + 1, opening.engine)
            answer = await engine.complete(prompt, sample, sampling)
        except NotServed as missing:
            return _episode(turns, "unmeasured", str(missing), simulation, world)


def _ids(opening: Opening, messages: Sequence[Message]) -> list[int]:
    try:
        return opening.renderer.prompt_ids(messages, opening.simulation.tools)
    except InputError as error:
        # What a model called is part of the conversation now, and a chat template may refuse it.
        raise NotServed(f"{NO_ROOM}: {error}") from error


def _ended(answer: Completion, *, last: bool) -> str | None:
    """How a conversation ends with this turn; None where its calls are answered and it goes on."""
    if answer.finish_reason == "length":
        return "length"
    if answer.parse == "failed":
        return "parse_failed"
    if not answer.calls:
        return "final"
    return "turn_limit" if last else None


def _episode(turns: Sequence[Turn], ended: str, reason: str | None, simulation: Simulation, world: World) -> Episode:
    return Episode(turns, ended, reason, canonical_json(changed(simulation.start, world)))


def results_json(results: Sequence[Result] | None) -> str | None:
    """The `results` column."""
    return None if results is None else json.dumps([each._asdict() for each in results], ensure_ascii=False)


def episode_row(condition: str, side: str, sample: int, episode: Episode) -> dict[str, Any]:
    """A row of the episodes part."""
    return {
        "condition_id": condition,
        "side": side,
        "sample": sample,
        "turns": len(episode.turns),
        "ended": episode.ended,
        "reason": episode.reason,
        "state": episode.state,
        "state_digest": episode.state_digest,
    }
