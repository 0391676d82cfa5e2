"""What a person sees in the terminal: stages, progress per side, tables. Model text is never printed."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from diffbehav import untrusted
from diffbehav.collect import OnProgress, Progress
from diffbehav.search.oracle import Oracle

LINE_SECONDS = 60.0
"""How often a line is printed where the terminal cannot redraw."""


def plain(text: object) -> Text:
    """`text` without markup and with every control character made visible."""
    return Text(untrusted.terminal(str(text)))


class Terminal:
    """Progress and messages on standard error; `quiet` keeps only errors."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)

    def stage(self, text: str) -> None:
        """One line saying what happens now."""
        self._console.print(Text("• ", style="bold").append(plain(text)))

    def error(self, text: str) -> None:
        """An error, shown even when quiet."""
        lines = Text("\n").join(plain(line) for line in text.splitlines())
        label = Text("") if text.startswith("error[") else Text("error: ", style="bold red")
        Console(stderr=True, highlight=False, soft_wrap=True).print(label.append(lines))

    @contextmanager
    def collecting(self) -> Iterator[OnProgress]:
        """A callback that keeps one bar per side up to date."""
        if not self._console.is_terminal:
            yield self._lines()
            return
        bars = Bars(
            TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            MofNCompleteColumn(), TextColumn("{task.fields[note]}"), console=self._console,
        )
        with bars:
            tasks: dict[str, TaskID] = {}

            def show(progress: Progress) -> None:
                for side, tally in progress.sides.items():
                    if side not in tasks:
                        tasks[side] = bars.add_task(side, total=tally.total, note="")
                    note = f"{tally.tokens:,} tokens"
                    bars.update(tasks[side], completed=tally.done, note=note)
                if "conditions" not in tasks:
                    tasks["conditions"] = bars.add_task("conditions", total=progress.total, note="")
                bars.update(tasks["conditions"], completed=progress.done, note=rates(progress))

            yield show

    @contextmanager
    def searching(self) -> Iterator[Callable[[str, "Oracle"], None]]:
        """A callback that says which step the search is at, and the calls spent and left."""
        with self._console.status("searching") if self._console.is_terminal else nullcontext() as status:

            def show(step: str, oracle: Oracle) -> None:
                line = f"{step}; {oracle.calls_spent:,} conditions asked, {oracle.calls_left:,} left"
                if status is None:
                    self._console.print(plain(f"  {line}"), soft_wrap=True)
                else:
                    status.update(plain(line))

            yield show

    def training(self) -> "Training":
        """A progress bar for training."""
        return Training(self._console)

    def _lines(self) -> OnProgress:
        last, said = 0.0, -1

        def show(progress: Progress) -> None:
            nonlocal last, said
            finished = progress.done == progress.total and said != progress.done
            if finished or time.monotonic() - last > LINE_SECONDS:
                last, said = time.monotonic(), progress.done
                self._console.print(f"  {progress.done:,}/{progress.total:,} conditions, {rates(progress)}")

        return show


class Training:
    """A bar that follows (done, total, note)."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            MofNCompleteColumn(), TextColumn("{task.fields[note]}"), console=console,
        )

    def __enter__(self) -> "Training":
        self._bars.start()
        self._task = self._bars.add_task("training", total=None, note="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, done: int, total: int, note: str) -> None:
        self._bars.update(self._task, completed=done, total=total, note=note)


def rates(progress: Progress) -> str:
    """Tokens and conditions per second and the time left."""
    eta = "unknown" if progress.eta_seconds is None else duration(progress.eta_seconds)
    text = f"{progress.tokens_per_second:,.0f} tok/s, {progress.conditions_per_second:,.1f} conditions/s, eta {eta}"
    return text + (f", engine restarts {progress.restarts}" if progress.restarts else "")


def duration(seconds: float) -> str:
    """Seconds as `1h02m`, `3m07s` or `12s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on standard output."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(plain("" if cell is None else cell) for cell in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


def rule_in_words(rule: Mapping[str, Any], beside: Sequence[Mapping[str, Any]] = ()) -> str:
    """`year = 2026 AND tool in {delete, move} AND date from 2026-01-01 to 2026-12-31 (tested outside of user = a)`."""
    said = " AND ".join(_part_in_words(factor, levels) for factor, levels in rule.items())
    return f"{said} (tested outside of {'; '.join(map(rule_in_words, beside))})" if beside else said


def _part_in_words(factor: str, levels: Sequence[str] | Mapping[str, Any]) -> str:
    if isinstance(levels, Mapping):
        if "from" in levels:
            return f"{factor} from {levels['from']} to {levels['to']}"
        return f"{factor} not in {{{', '.join(levels['absent'])}}}"
    return f"{factor} = {levels[0]}" if len(levels) == 1 else f"{factor} in {{{', '.join(levels)}}}"
