"""What two models did at one condition, as elements: answers, calls, tokens."""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import polars as pl
from dash import html

from dashboards.elements import Children, inline, model_text, number, pieces, shown, table, tag, untrusted_box
from dashboards.runs import OpenRun
from diffbehav import untrusted
from diffbehav.report import words
from diffbehav.report.tokens import FIRST, LONGEST, shades

SIDES = ("candidate", "trusted", "replicate")
TOKENS = 300
"""Tokens of one answer that are drawn."""
COLOURED = frozenset(f"k{shade}" for shade in range(1, 10))
"""Classes whose tokens are elements of their own; the others stand in runs."""


class Answered(NamedTuple):
    """One answer of one side, as stored."""

    side: str
    sample: int
    turn: int
    seed: int
    text: str
    content: str
    calls: str
    parse: str
    finish_reason: str
    results: str | None
    """JSON array of {"status", "text"}, simulated; None where no call was answered."""
    parse_reason: str | None
    token_ids: list[int]


def read_answers(run: OpenRun, condition: str, sample: int) -> list[Answered]:
    """The answers of all sides, in the order of SIDES and of the turns."""
    rows = run.query(
        """
        SELECT side, sample, turn, seed, text, content, calls, parse, finish_reason, results, parse_reason,
               token_ids[:2000]
        FROM completions WHERE condition_id = $id AND sample = $sample
        ORDER BY list_position($sides, side), turn
        """,
        id=condition,
        sample=sample,
        sides=list(SIDES),
    )
    return [Answered(*row) for row in rows]


def answer_columns(answers: Sequence[Answered]) -> html.Div:
    """What candidate and trusted said and did, side by side."""
    columns = []
    for side in SIDES[:2]:
        own = [answer for answer in answers if answer.side == side]
        found = [_answer(answer, numbered=len(own) > 1) for answer in own] or [html.P("not stored", className="note")]
        columns.append(html.Div([html.H4(html.Span(side, className=f"{side}-name")), *found], className="answer"))
    return html.Div(columns, className="answers")


def _answer(answer: Answered, *, numbered: bool) -> html.Div:
    calls = [(str(call["name"]), str(call["arguments"])) for call in json.loads(answer.calls)][:20]
    said = (
        [model_text(answer.content)]
        if answer.content.strip()
        else [html.P("no text beside the calls", className="note")]
    )
    did = [
        html.Div(
            [html.Span("calls ", className="label"), html.B(inline(name)), model_text(arguments, mono=True)],
            className="call",
        )
        for name, arguments in calls
    ]
    notes = [f"turn {answer.turn}"] if numbered else []
    notes += ["1 call" if len(calls) == 1 else f"{len(calls)} calls"]
    if answer.parse == "failed":
        notes.append(f"markup that is no valid call: {shown(answer.parse_reason)}")
    notes += ["cut at the token limit" if answer.finish_reason == "length" else "ended its turn"]
    return html.Div([untrusted_box(*said, *did, *_results(answer)), html.P(", ".join(notes), className="note")])


def _results(answer: Answered) -> list[Children]:
    """What the simulated world answered; it repeats what the model asked for, and is as hostile."""
    return [
        html.Div(
            [html.Span("the simulated tool answers ", className="label"), html.B(inline(str(result["status"]))),
             model_text(str(result["text"]), mono=True)],
            className="call result",
        )
        for result in json.loads(answer.results or "[]")[:20]
    ]  # fmt: skip


def call_changes(run: OpenRun, condition: str, sample: int) -> list[Children]:
    """Tool calls, candidate against trusted, by argument."""
    rows = run.query(
        """
        SELECT change, tool, path, candidate, trusted FROM argument_changes
        WHERE condition_id = $id AND sample = $sample
        ORDER BY list_position(['extra_call', 'missing_call', 'changed', 'added', 'removed'], change), tool, path
        LIMIT 40
        """,
        id=condition,
        sample=sample,
    )
    if not rows:
        return [html.P("The calls are the same.")]
    body = [
        [
            [tag(words.CHANGES[change][0], change), html.Br(), html.Span(words.CHANGES[change][1], className="note")],
            inline(tool),
            inline(path),
            *(
                html.Span("none", className="muted") if value is None else inline(untrusted.shorten(value, 600))
                for value in values
            ),
        ]
        for change, tool, path, *values in rows
    ]
    heads = [
        "change",
        "tool",
        "argument",
        html.Span("candidate", className="candidate-name"),
        html.Span("trusted", className="trusted-name"),
    ]
    return [
        table(heads, body, kind="changes"),
        html.P(f"Tool names, arguments and values in this table were {words.SENTENCE}.", className="note"),
    ]


def read_tokens(run: OpenRun, condition: str, answered_by: str) -> pl.DataFrame:
    """Both models' values along one side's first answer, empty where they were not kept.

    `position`, `token`, `candidate_logprob`, `trusted_logprob`, `jsd_lower`, `jsd_upper`, in nats.
    """
    rows = run.query(
        """
        SELECT position, token, candidate_logprob, trusted_logprob, jsd_lower, jsd_upper FROM positions
        WHERE condition_id = $id AND answered_by = $by AND turn = 0
          AND sample = (SELECT min(sample) FROM positions WHERE condition_id = $id AND answered_by = $by)
        ORDER BY position LIMIT 2000
        """,
        id=condition,
        by=answered_by,
    )
    numbers = ("candidate_logprob", "trusted_logprob", "jsd_lower", "jsd_upper")
    schema: dict[str, Any] = {"position": pl.Int64, "token": pl.String, **dict.fromkeys(numbers, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def token_strip(tokens: pl.DataFrame, *, same_until: int | None) -> list[Children]:
    """Tokens coloured by how far the models part; those after `same_until` stand in other contexts and are grey."""
    measure, classes = shades(
        tokens["jsd_lower"].to_list(), tokens["candidate_logprob"].to_list(), tokens["trusted_logprob"].to_list()
    )
    first = next((i for i, shade in enumerate(classes) if shade is not None and shade >= FIRST), None)
    texts = tokens["token"].head(TOKENS).to_list()
    mark = first if same_until is None else same_until
    kinds = [
        "beyond" if same_until is not None and i > same_until else "unmeasured" if shade is None else f"k{shade}"
        for i, shade in enumerate(classes[:TOKENS])
    ]
    label = "first divergence: " if same_until is None else "first different token: "
    drawn = []
    for kind, run in groupby(
        range(len(texts)), key=lambda i: (kinds[i], i if i == mark or kinds[i] in COLOURED else None)
    ):
        places = list(run)
        marked = places == [mark]
        hidden = [html.Span(label, className="hidden")] if marked else []
        text = "".join(_token(texts[i]) for i in places)
        title = _token_title(tokens.row(places[0], named=True)) if kind[0] in COLOURED else None
        classes_of = f"{kind[0]} first" if marked else kind[0]
        drawn.append(html.Span([*hidden, *pieces(text)], className=classes_of, title=title))
    note = f" {len(texts)} of {number(tokens.height)} tokens shown." if tokens.height > len(texts) else ""
    return [
        untrusted_box(html.Div(drawn, className="text mono tokens", dir="ltr")),
        html.P(
            f"Colour and underline: {measure}. Values from the engine's most probable tokens: a lower bound.{note}",
            className="note",
        ),
    ]


def _token(text: str) -> str:
    return (text if len(text) <= LONGEST else text[:LONGEST] + "…") or "∅"


def _token_title(row: dict[str, Any]) -> str:
    values = [
        f"{name} {row[column]:.3f}"
        for name, column in (
            ("JSD at least", "jsd_lower"),
            ("candidate", "candidate_logprob"),
            ("trusted", "trusted_logprob"),
        )
        if row[column] is not None
    ]
    return f"token {row['position']}: " + (", ".join(values) if values else "not measured")


def token_table(tokens: pl.DataFrame) -> html.Details:
    """The values of a strip as a table."""
    body = [
        [number(row["position"]), inline(row["token"] or "∅"), *(_value(row[name]) for name in tokens.columns[2:])]
        for row in tokens.head(TOKENS // 3).iter_rows(named=True)
    ]
    heads = ["position", "token", "candidate logprob", "trusted logprob", "JSD at least", "JSD at most"]
    return html.Details([html.Summary("View as table"), table(heads, body)])


def _value(value: float | None) -> html.Td:
    return html.Td("not measured" if value is None else f"{value:.3f}", className="num")
