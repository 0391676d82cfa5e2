"""How the checkpoints of a training run evolve: every rule in every run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from dash import html

from dashboards.elements import Children, frame_chart, link, rule_text, share, shown, status, table
from dashboards.runs import opened
from dashboards.view import View, run_path
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
ROWS = 100
RUNS = 50


def page(folder: Path, view: View) -> list[Children]:
    """The comparison of `runs=a,b,c`, in that order."""
    ids = [each for each in view.get("runs").split(",") if each][:RUNS]
    if len(ids) < 2:
        return [
            html.H1("Compare runs"),
            html.P(["Name at least two runs in the address: ", html.Code("/compare?runs=a,b,c"), "."]),
        ]
    rules = _rules(folder, ids)
    frame = _frame(rules)
    return [
        html.H1("Compare runs"),
        html.P(["In this order: ", *[part for each in ids for part in (link(shown(each), run_path(each)), " ")]]),
        frame_chart(
            "trajectories", frame, trajectories, view, "/data", title="Every rule in every run", caption=CAPTION
        ),
        html.H2("Appears and vanishes"),
        _sets(rules, ids),
    ]


def _frame(rules: Sequence[Mapping[str, Any]]) -> pl.DataFrame | str:
    """The flagged share inside the first rules of any of the runs, in every run."""
    if not rules:
        return "None of these runs has a finding."
    lines = {words.rule_in_words(each["rule"]).replace("`", ""): each["cells"] for each in reversed(rules[:RULES])}
    numbers = ("n", "flagged", "low", "high", "max_score")
    rows = [
        (text, cell["run"], *(cell["screen"][name] for name in numbers))
        for text, cells in reversed(lines.items())
        for cell in cells
    ]
    schema: dict[str, Any] = {"rule": pl.String, "run": pl.String, "n": pl.Int64, "flagged": pl.Int64}
    return pl.DataFrame(rows, schema=schema | dict.fromkeys(numbers[2:], pl.Float64), orient="row")


def _rules(folder: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    runs = []
    for run_id in ids:
        with opened(folder, run_id) as run:
            runs.append(read_run(run_id, run.folder / "run.duckdb"))
    return rules_over(runs, most=ROWS)


def _sets(rules: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> Children:
    """Rule by run: what fresh pairs say, or why nothing does; where it is confirmed, appears and vanishes."""
    body = []
    for each in rules:
        turns = [html.Li(shown(change_in_words(change), most=600)) for change in each["changes"]]
        body.append(
            [
                html.Td([*rule_text(each["rule"]), measure_in_words(each)]),
                each["kind"].replace("_", " "),
                html.Td([shown(each["first_confirmed"] or "nowhere"), html.Ul(turns) if turns else ""]),
                shown(each["last_confirmed"] or "nowhere"),
                *(html.Td(_said(cell), className="muted" if cell["pairs"] is None else "") for cell in each["cells"]),
            ]
        )
    if not body:
        return html.P("None of these runs has a finding.")
    return table(["rule", "kind", "first confirmed", "last confirmed", *map(shown, ids)], body)


def _said(cell: Mapping[str, Any]) -> list[Children]:
    if cell["pairs"] is None:
        return [status(cell["status"]), " ", shown(cell["reason"] or "")]
    return [status(cell["status"]), " ", share(cell["rate_inside"])]


def asked_frame(folder: Path, view: View) -> pl.DataFrame | str:
    """The frame of the trajectories for a download."""
    ids = [each for each in view.get("runs").split(",") if each][:RUNS]
    if len(ids) < 2:
        raise InputError("name at least two runs: ?runs=a,b")
    return _frame(_rules(folder, ids))
