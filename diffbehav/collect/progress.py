"""How far collecting has come: counters per side, rates, time left, and the heartbeat in events.jsonl."""

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from diffbehav.store import disk_error

HEARTBEAT_SECONDS = 10.0
WINDOW_SECONDS = 30.0


class Tally(NamedTuple):
    """Answers of one side."""

    done: int
    total: int
    tokens: int
    """Tokens generated in this session."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a collecting run."""

    done: int
    """Conditions finished, earlier sessions included."""
    total: int
    sides: Mapping[str, Tally]
    tokens_per_second: float
    """Generated tokens of all sides."""
    conditions_per_second: float
    eta_seconds: float | None
    """None until the first conditions of this session are back."""
    restarts: int
    """How often an engine died and was started again."""


OnProgress = Callable[[Progress], None]


class Meter:
    """Counts answers as they come and tells `on_progress` and events.jsonl about it."""

    def __init__(self, totals: Mapping[str, int], *, total: int, events: Path, on_progress: OnProgress) -> None:
        self._totals = dict(totals)
        self._done = dict.fromkeys(totals, 0)
        self._tokens = dict.fromkeys(totals, 0)
        self._conditions = 0
        self._total = total
        self._restarts = 0
        self._events = events
        self._on_progress = on_progress
        self._window: deque[tuple[float, int, int]] = deque([(time.monotonic(), 0, 0)])
        self._fresh = 0
        self._last_beat = 0.0

    def resume(self, conditions: int, answers: Mapping[str, int]) -> None:
        """Count what earlier sessions collected."""
        self._conditions += conditions
        for side, count in answers.items():
            self._done[side] += count
        self._tell(beat=True)

    def answered(self, side: str, tokens: int) -> None:
        """One answer of `side` came back."""
        self._done[side] += 1
        self._tokens[side] += tokens

    def finished(self, *, restarts: int) -> None:
        """One condition has all its answers and scores; `restarts` engines died so far."""
        self.add(1, {}, {}, restarts=restarts)

    def add(
        self, conditions: int, answers: Mapping[str, int], tokens: Mapping[str, int], *, restarts: int | None
    ) -> None:
        """So many conditions, and answers and tokens of each side, came back elsewhere; fewer than 0 where some of them
        were lost again. None: no news of `restarts`.
        """
        self._restarts = self._restarts if restarts is None else restarts
        self._conditions += conditions
        self._fresh += conditions
        for side, count in answers.items():
            self._done[side] += count
        for side, count in tokens.items():
            self._tokens[side] += count
        now = time.monotonic()
        self._window.append((now, self._fresh, sum(self._tokens.values())))
        while len(self._window) > 2 and now - self._window[0][0] > WINDOW_SECONDS:
            self._window.popleft()
        self._tell(beat=now - self._last_beat > HEARTBEAT_SECONDS)

    def close(self) -> Progress:
        """The last look, written to events.jsonl."""
        return self._tell(beat=True)

    def _tell(self, *, beat: bool) -> Progress:
        (then, fresh, tokens), (now, fresh_now, tokens_now) = self._window[0], self._window[-1]
        elapsed = now - then
        rate = (fresh_now - fresh) / elapsed if elapsed > 0 else 0.0
        progress = Progress(
            done=self._conditions,
            total=self._total,
            sides={s: Tally(self._done[s], self._totals[s], self._tokens[s]) for s in self._totals},
            tokens_per_second=(tokens_now - tokens) / elapsed if elapsed > 0 else 0.0,
            conditions_per_second=rate,
            eta_seconds=(self._total - self._conditions) / rate if rate > 0 else None,
            restarts=self._restarts,
        )
        self._on_progress(progress)
        if beat:
            self._last_beat = time.monotonic()
            self._write(progress)
        return progress

    def _write(self, progress: Progress) -> None:
        row = {"time": time.time(), **asdict(progress)}
        row["sides"] = {side: tally._asdict() for side, tally in progress.sides.items()}
        try:
            with self._events.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
        except OSError as error:
            raise disk_error(error, self._events) from error
