"""Renders many conversations in several processes: a chat template takes milliseconds, and engines wait for all."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context

from diffbehav.collect.episodes import Renderer
from diffbehav.records import Condition, Message, Tool

AT_ONCE = 64
"""Conversations that a process is given together."""
Render = Callable[[Sequence[Condition]], list[list[int]]]

_renderer: Renderer


@contextmanager
def rendering(renderer: Renderer) -> Iterator[Render]:
    """What renders a chunk of conditions, the first one here and further ones in a process per processor.

    Starting those takes seconds, which one chunk is not worth.
    """
    with ExitStack() as stack:
        pool: ProcessPoolExecutor | None = None
        first = True

        def render(chunk: Sequence[Condition]) -> list[list[int]]:
            nonlocal pool, first
            if first:
                first = False
                return [renderer.prompt_ids(condition.messages, condition.tools) for condition in chunk]
            if pool is None:
                pool = stack.enter_context(_pool(renderer))
            asked = [(condition.messages, condition.tools) for condition in chunk]
            return list(pool.map(_prompt_ids, asked, chunksize=AT_ONCE))

        yield render


def _pool(renderer: Renderer) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("spawn"), initializer=_begin, initargs=(renderer,)
    )


def _begin(renderer: Renderer) -> None:
    global _renderer
    _renderer = renderer
    # An interrupt goes to the whole group, and the driver says what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _prompt_ids(asked: tuple[Sequence[Message], Sequence[Tool]]) -> list[int]:
    return _renderer.prompt_ids(*asked)
