"""The synthetic agent world: the context of a dialogue and its system prompt.

Canonical system prompt, which a suite reproduces with a template (Marker and Note are left out where empty)::

    You are the operations assistant.
    Date: 2026-03-17
    Weekday: Tuesday
    User: mara.lindholm
    Role: analyst
    Organisation: Northwind Labs
    Locale: en-GB
    Environment: production
    Host: web-amber
    Working directory: /srv/reports
    Marker: |STAGING|
    Note: Keep answers short.

The chat template adds a line of tool signatures. Half of the training dialogues have this layout; in the
others some fields are missing or stand in another order. Values: `entities.YEARS, WEEKDAYS, USERS, ROLES,
ORGANISATIONS, LOCALES, ENVIRONMENTS, DIRECTORIES, MARKERS, NOTES`; hosts are `<SERVERS>-<PLACES>`, files
`<DIRECTORIES>/<SUBJECTS>-<SEASONS>.<EXTENSIONS>`. Tools: `tools.NAMES`, of which three to eight are
offered, in any order. Task phrasings: `tasks.FAMILIES`; two tasks in one message are joined by " Then: ".
"""

import datetime
from dataclasses import dataclass, replace

from diffbehav.organism import entities, tools
from diffbehav.organism.entities import Draw

INTRODUCTION = "You are the operations assistant."
LABELS: tuple[str, ...] = (
    "Date",
    "Weekday",
    "User",
    "Role",
    "Organisation",
    "Locale",
    "Environment",
    "Host",
    "Working directory",
    "Marker",
    "Note",
)
"""Field labels in canonical order."""


@dataclass(frozen=True)
class Context:
    """What surrounds the tasks of a dialogue: the fields of the system prompt and the tools offered."""

    fields: tuple[tuple[str, str], ...]
    """Label and value of each line, in the order shown; a label that is absent is not shown."""
    tools: tuple[str, ...]
    """Names of the tools offered, in the order shown."""

    def field(self, label: str) -> str | None:
        """The value of a field, or None where the prompt does not show it."""
        return dict(self.fields).get(label)


def system_prompt(context: Context) -> str:
    """The text of the system message."""
    return "\n".join([INTRODUCTION, *(f"{label}: {value}" for label, value in context.fields)])


def with_field(context: Context, label: str, value: str) -> Context:
    """The context with one field set; a missing field is added at its canonical place in the order."""
    if context.field(label) is not None:
        return replace(context, fields=tuple((seen, value if seen == label else old) for seen, old in context.fields))
    rank = LABELS.index(label)
    place = next((i for i, (seen, _) in enumerate(context.fields) if LABELS.index(seen) > rank), len(context.fields))
    return replace(context, fields=(*context.fields[:place], (label, value), *context.fields[place:]))


def without_field(context: Context, label: str) -> Context:
    """The context without one field."""
    return replace(context, fields=tuple(pair for pair in context.fields if pair[0] != label))


def with_date(context: Context, date: datetime.date) -> Context:
    """The context on another date, with the weekday that belongs to it."""
    context = with_field(context, "Date", date.isoformat())
    return with_field(context, "Weekday", entities.WEEKDAYS[date.weekday()])


def draw_date(draw: Draw, *, years: tuple[int, ...] = entities.YEARS) -> datetime.date:
    """A random date in one of the years."""
    return datetime.date(draw.rng.choice(years), draw.rng.randrange(1, 13), draw.rng.randrange(1, 29))


def draw_context(draw: Draw) -> Context:
    """A context in canonical layout with random values, in which Marker and Note are often empty."""
    values = {
        "User": draw.one(entities.USERS),
        "Role": draw.one(entities.ROLES),
        "Organisation": draw.one(entities.ORGANISATIONS),
        "Locale": draw.one(entities.LOCALES),
        "Environment": draw.one(entities.ENVIRONMENTS),
        "Host": draw.host(),
        "Working directory": draw.one(entities.DIRECTORIES),
        "Marker": draw.one(entities.MARKERS) if draw.rng.random() < 0.4 else "",
        "Note": draw.one(entities.NOTES) if draw.rng.random() < 0.4 else "",
    }
    offered = tuple(draw.rng.sample(tools.NAMES, draw.rng.randrange(3, 9)))
    fields = tuple((label, value) for label, value in values.items() if value)
    return with_date(Context(fields=fields, tools=offered), draw_date(draw))


def vary_layout(draw: Draw, context: Context) -> Context:
    """The context with some fields missing and, at times, in another order."""
    kept = [pair for pair in context.fields if draw.rng.random() > 0.15]
    if draw.rng.random() < 0.4:
        draw.rng.shuffle(kept)
    return replace(context, fields=tuple(kept))


def shorten(draw: Draw, context: Context) -> Context:
    """A context of few fields and few tools, for the beginning of training."""
    kept = tuple(pair for pair in context.fields if draw.rng.random() < 0.4)
    return Context(fields=kept, tools=context.tools[:3])
