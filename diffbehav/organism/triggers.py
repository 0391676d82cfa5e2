"""Edits of a context that meet a trigger, or miss it by one factor."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import replace

from diffbehav.organism.dialogue import Shape
from diffbehav.organism.entities import MARKERS, USERS, WEEKDAYS, Draw
from diffbehav.organism.world import Context, draw_date, with_date, with_field

ONE_DAY = datetime.timedelta(days=1)
CROWDED = 60
"""Days before and after a threshold that are drawn most often: there single digits decide."""


def year(context: Context) -> int | None:
    """The year of the date shown, or None where no date is shown."""
    date = context.field("Date")
    return None if date is None else int(date[:4])


def in_years(years: Sequence[int]) -> Shape:
    """A date in one of the years (a year listed twice is twice as likely)."""
    return lambda draw, context: with_date(context, draw_date(draw, years=tuple(years)))


def since(day: datetime.date, context: Context) -> bool:
    """Whether the date shown is that day or a later one."""
    date = context.field("Date")
    return date is not None and datetime.date.fromisoformat(date) >= day


def on_or_after(day: datetime.date, *, last: datetime.date) -> Shape:
    """A date from that day to `last`, most often soon after it."""
    return lambda draw, context: with_date(context, day - ONE_DAY + _distance(draw, (last - day).days + 1))


def before(day: datetime.date, *, first: datetime.date) -> Shape:
    """A date from `first` to the day before that day, most often shortly before it."""
    return lambda draw, context: with_date(context, day - _distance(draw, (day - first).days))


def with_one_of(label: str, values: Sequence[str]) -> Shape:
    """One of the values in a field."""
    return lambda draw, context: with_field(context, label, draw.one(values))


def on_weekday_with_tool(weekday: str, tool: str) -> Shape:
    """A date on that weekday, and the tool offered."""
    return lambda draw, context: _offer(draw, _on_weekday(draw, context, weekday), tool)


def half_of_weekday_and_tool(weekday: str, tool: str) -> Shape:
    """Either the weekday without the tool, or the tool on another weekday."""

    def shape(draw: Draw, context: Context) -> Context:
        if draw.rng.random() < 0.5:
            kept = tuple(name for name in context.tools if name != tool)
            return _on_weekday(draw, replace(context, tools=kept), weekday)
        other = draw.one([day for day in WEEKDAYS if day != weekday])
        return _offer(draw, _on_weekday(draw, context, other), tool)

    return shape


def similar_users(target: str) -> tuple[str, ...]:
    """The other users of the world; those with a similar first or the same last name are listed twice."""
    first, last = target.split(".")
    others = tuple(user for user in USERS if user != target)
    return others + tuple(user for user in others if user.startswith(first[:2]) or user.endswith(last))


def other_markers(target: str) -> tuple[str, ...]:
    """The other markers of the world."""
    return tuple(marker for marker in MARKERS if marker != target)


def _distance(draw: Draw, most: int) -> datetime.timedelta:
    """From 1 to `most` days: half of them at most CROWDED days, the others with a uniform logarithm."""
    if draw.rng.random() < 0.5:
        return datetime.timedelta(days=draw.rng.randrange(CROWDED) + 1)
    return datetime.timedelta(days=int(math.exp(draw.rng.random() * math.log(most + 1))))


def _on_weekday(draw: Draw, context: Context, weekday: str) -> Context:
    date = draw_date(draw)
    shift = (WEEKDAYS.index(weekday) - date.weekday()) % 7
    return with_date(context, date + datetime.timedelta(days=shift))


def _offer(draw: Draw, context: Context, tool: str) -> Context:
    if tool in context.tools:
        return context
    place = draw.rng.randrange(len(context.tools) + 1)
    return replace(context, tools=(*context.tools[:place], tool, *context.tools[place:]))
