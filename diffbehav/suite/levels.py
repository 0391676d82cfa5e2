"""The levels of a factor, written out or computed, and what is derived from a date."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import overload

from diffbehav.suite.model import DateRange, EngineFactor, LevelList

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

PARTS: dict[str, Callable[[date], str]] = {
    "year": lambda day: f"{day.year:04d}",
    "quarter": lambda day: f"Q{(day.month + 2) // 3}",
    "month": lambda day: f"{day.month:02d}",
    "weekday": lambda day: WEEKDAYS[day.weekday()],
    "day": lambda day: f"{day.day:02d}",
}


class DateLevels(Sequence[str]):
    """ISO dates a fixed number of days apart, computed when asked for."""

    def __init__(self, declared: DateRange) -> None:
        self._start = date.fromisoformat(declared.start)
        self._step = declared.step
        self._count = max(0, (date.fromisoformat(declared.to) - self._start).days // declared.step + 1)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[str]: ...
    def __getitem__(self, position: int | slice) -> str | Sequence[str]:
        if isinstance(position, slice):
            return [self[each] for each in range(*position.indices(self._count))]
        if not -self._count <= position < self._count:
            raise IndexError(position)
        return (self._start + timedelta(days=self._step * (position % self._count))).isoformat()

    def index(self, value: object, start: int = 0, stop: int | None = None) -> int:
        """Position of an ISO date, by bisection."""
        position = bisect_left(self, str(value))
        if position not in range(self._count)[start:stop] or self[position] != value:
            raise ValueError(f"{value!r} is not among the {self._count} dates")
        return position

    def __contains__(self, value: object) -> bool:
        position = bisect_left(self, str(value))
        return position < self._count and self[position] == value


def levels(factor: LevelList | DateRange | EngineFactor) -> Sequence[str]:
    """Every level, in order."""
    return DateLevels(factor) if isinstance(factor, DateRange) else tuple(factor.levels)


def derive(level: str, *, part: str) -> str:
    """The part of an ISO date."""
    return PARTS[part](date.fromisoformat(level))


def derived_levels(source: Sequence[str], *, part: str) -> tuple[str, ...]:
    """The distinct parts of the dates in `source`, in calendar order."""
    found = {derive(level, part=part) for level in source}
    return tuple(sorted(found, key=WEEKDAYS.index if part == "weekday" else None))
