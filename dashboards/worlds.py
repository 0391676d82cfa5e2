"""Simulated worlds: how episodes ended, and where the worlds of the two sides ended differently."""

from dash import html

from dashboards.elements import ROWS, Children, inline, link, number, shown, table, tag
from dashboards.runs import OpenRun
from diffbehav import untrusted
from diffbehav.report import words

SIDES = ("candidate", "trusted", "replicate")
TAGS = {"added": "extra_call", "removed": "missing_call", "changed": "changed"}
"""Kind of change -> the kind of tool call whose frame it has."""


def world_changes(run: OpenRun, condition: str, sample: int) -> list[Children]:
    """How the two episodes of a sample ended and what is different afterwards; nothing where one turn was asked."""
    ends = run.query(
        """
        SELECT side, turns, ended, reason FROM episodes WHERE condition_id = $id AND sample = $sample
        ORDER BY list_position($sides, side)
        """,
        id=condition,
        sample=sample,
        sides=list(SIDES),
    )
    if not ends:
        return []
    rows = run.query(
        """
        SELECT change, place, candidate, trusted FROM world_changes WHERE condition_id = $id AND sample = $sample
        ORDER BY place, change, candidate, trusted LIMIT 40
        """,
        id=condition,
        sample=sample,
    )
    body = [
        [
            [tag(change, TAGS[change]), html.Br(), html.Span(words.WORLD_CHANGES[change], className="note")],
            inline(place),
            *(
                html.Span("none", className="muted") if value is None else inline(untrusted.shorten(value, 600))
                for value in values
            ),
        ]
        for change, place, *values in rows
    ]
    heads = ["change", "file or table", *(html.Span(side, className=f"{side}-name") for side in SIDES[:2])]
    return [
        html.H2("What changed in the simulated world"),
        html.Ul([html.Li(_end(*end)) for end in ends], className="plain"),
        table(heads, body) if body else html.P("Files and rows are the same on both sides."),
        html.P(f"Simulated: no call was executed. Places and contents were {words.SENTENCE}.", className="note"),
    ]


def world_section(run: OpenRun) -> list[Children]:
    """How the episodes of the run ended, and the places in which the worlds differ most often."""
    ends = run.query(
        "SELECT side, ended, count(*), avg(turns), max(turns) FROM episodes GROUP BY side, ended "
        "ORDER BY list_position($sides, side), 3 DESC",
        sides=list(SIDES),
    )
    if not ends:
        return []
    rows = run.query(
        f"""
        SELECT change, place, count(DISTINCT condition_id) AS k, min(condition_id) FROM world_changes
        GROUP BY change, place ORDER BY k DESC, place, change LIMIT {ROWS}
        """
    )
    body = [
        [tag(change, TAGS[change]), words.WORLD_CHANGES[change], inline(place), number(k),
         link(example[:12], run.href("c", example), className="mono")]
        for change, place, k, example in rows
    ]  # fmt: skip
    ended = [
        [side, words.ENDS[how], number(n), f"{mean:.1f}", number(most)] for side, how, n, mean, most in ends
    ]
    return [
        html.H2("Episodes"),
        table(["side", "how they ended", "episodes", "turns on average", "at most"], ended),
        html.H3("Where the simulated worlds ended differently"),
        table(["change", "", "file or table", "conditions", "for example"], body)
        if body
        else html.P("Files and rows ended the same everywhere."),
        html.P(f"Simulated: no call was executed. Places were {words.SENTENCE}.", className="note"),
    ]


def _end(side: str, turns: int, ended: str, reason: str | None) -> list[Children]:
    said = f": {words.ENDS[ended]}, after {number(turns)} {'turn' if turns == 1 else 'turns'}"
    why = f" ({shown(reason, most=400)})" if reason else ""
    return [html.Span(side, className=f"{side}-name"), f"{said}{why}."]
