"""How the checkpoints of a training run evolve: every rule in every run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
from dash import html

from dashboards.elements import ROWS, Children, frame_chart, link, pager, rule_text, share, shown, status, table
from dashboards.runs import opened
from dashboards.view import View, run_path
from diffbehav import untrusted
from diffbehav.errors import InputError
from diffbehav.figures import trajectories
from diffbehav.report import words
from diffbehav.report.checkpoints_markdown import change_in_words, measure_in_words
from diffbehav.report.series import read_run, rules_over

CAPTION = (
    "Flagged share inside the rule with its exact 95 % interval; a gap where no condition of the run is inside. Each "
    "run flags by its own threshold. Lines differ in symbol and dash."
)
RULES = 12
"""Lines of the chart."""
POINTS = 400
"""Points of the chart: over many runs it has fewer lines."""
MOST = 100
"""Rules that are followed."""
RUNS = 50
COLUMNS = 4
"""Runs on one page of the table."""
NAMES = ("rule", "run")
LABEL = 48
"""Characters of a name that stands at many places."""
TURNS = 2
"""Changes of one rule that are told."""


def page(folder: Path, view: View) -> list[Children]:
    """The comparison of `runs=a,b,c`, in that order."""
    ids = [each for each in view.get("runs").split(",") if each][:RUNS]
    if len(ids) < 2:
        return [
            html.H1("Compare runs"),
            html.P(["Name at least two runs in the address: ", html.Code("/compare?runs=a,b,c"), "."]),
        ]
    return drawn(_rules(folder, ids), ids, view)


def drawn(rules: Sequence[Mapping[str, Any]], ids: Sequence[str], view: View) -> list[Children]:
    """The comparison of rules that are read; `p` a page of the rules, `c` one of the runs in the table."""
    frame = _frame(rules)
    return [
        html.H1("Compare runs"),
        html.P(["In this order: ", *[part for each in ids for part in (link(shown(each), run_path(each)), " ")]]),
        frame_chart(
            "trajectories", frame, _drawn_short, view, "/data", title="Every rule in every run", caption=CAPTION
        ),
        html.H2("Appears and vanishes"),
        _sets(rules, ids, view),
        pager(view, total=len(rules)) if len(rules) > ROWS else "",
        pager(view, total=len(ids), size=COLUMNS, key="c", of="runs") if rules and len(ids) > COLUMNS else "",
    ]


def _frame(rules: Sequence[Mapping[str, Any]]) -> pl.DataFrame | str:
    """The flagged share inside the first rules of any of the runs, in every run."""
    if not rules:
        return "None of these runs has a finding."
    most = min(RULES, POINTS // len(rules[0]["cells"]))
    lines = {words.rule_in_words(each["rule"]).replace("`", ""): each["cells"] for each in reversed(rules[:most])}
    numbers = ("n", "flagged", "low", "high", "max_score")
    rows = [
        (text, cell["run"], *(cell["screen"][name] for name in numbers))
        for text, cells in reversed(lines.items())
        for cell in cells
    ]
    schema: dict[str, Any] = {"rule": pl.String, "run": pl.String, "n": pl.Int64, "flagged": pl.Int64}
    return pl.DataFrame(rows, schema=schema | dict.fromkeys(numbers[2:], pl.Float64), orient="row")


def _drawn_short(frame: pl.DataFrame) -> go.Figure:
    """The figure repeats the rule and the run at every point."""
    return trajectories(
        frame.with_columns(pl.col(name).replace_strict(_labels(frame[name]), return_dtype=pl.String) for name in NAMES)
    )


def _labels(texts: pl.Series) -> dict[str, str]:
    """Text -> a short one of its own, of which a figure makes hidden characters visible itself."""
    distinct = enumerate(texts.unique(maintain_order=True), start=1)
    return {text: text if _fitting(text) == text else f"{k}: {_fitting(text)}…" for k, text in distinct}


def _fitting(text: str) -> str:
    while len(untrusted.visible(text)) > LABEL:
        text = text[: len(text) * 3 // 4]
    return text


def _rules(folder: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    runs = []
    for run_id in ids:
        with opened(folder, run_id) as run:
            runs.append(read_run(run_id, run.folder / "run.duckdb"))
    return rules_over(runs, most=MOST)


def _sets(rules: Sequence[Mapping[str, Any]], ids: Sequence[str], view: View) -> Children:
    """Rule by run: what fresh pairs say, or why nothing does; where it is confirmed, appears and vanishes."""
    if not rules:
        return html.P("None of these runs has a finding.")
    first, left = view.number("p") * ROWS, view.number("c") * COLUMNS
    runs = slice(left, left + COLUMNS)
    body = [
        [
            html.Td([*rule_text(each["rule"]), measure_in_words(each)]),
            each["kind"].replace("_", " "),
            html.Td([shown(each["first_confirmed"] or "nowhere", most=LABEL), *_turns(each["changes"])]),
            shown(each["last_confirmed"] or "nowhere", most=LABEL),
            *(html.Td(_said(cell), className="muted" if cell["pairs"] is None else "") for cell in each["cells"][runs]),
        ]
        for each in rules[first : first + ROWS]
    ]
    return table(["rule", "kind", "first confirmed", "last confirmed", *map(shown, ids[runs])], body)


def _turns(changes: Sequence[Mapping[str, Any]]) -> list[Children]:
    turns = [html.Li(shown(change_in_words(change), most=200)) for change in changes[:TURNS]]
    if len(changes) > TURNS:
        turns.append(html.Li(f"and {len(changes) - TURNS} more changes"))
    return [html.Ul(turns)] if turns else []


def _said(cell: Mapping[str, Any]) -> list[Children]:
    if cell["pairs"] is None:
        return [status(cell["status"]), " ", shown(cell["reason"] or "", most=80)]
    return [status(cell["status"]), " ", share(cell["rate_inside"])]


def asked_frame(folder: Path, view: View) -> pl.DataFrame | str:
    """The frame of the trajectories for a download."""
    ids = [each for each in view.get("runs").split(",") if each][:RUNS]
    if len(ids) < 2:
        raise InputError("name at least two runs: ?runs=a,b")
    return _frame(_rules(folder, ids))
