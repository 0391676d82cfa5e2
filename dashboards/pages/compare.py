"""How the checkpoints of a training run evolve: every rule in every run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
from dash import html

from dashboards.charts import Chart
from dashboards.elements import Children, frame_chart, link, rule_text, share, shown, table
from dashboards.rules import allowed
from dashboards.runs import OpenRun, opened
from dashboards.view import View, run_path
from diffbehav.errors import InputError
from diffbehav.figures import trajectories
from diffbehav.report import words
from diffbehav.report.counts import MEASURES, counts
from diffbehav.report.findings import Finding

RULES = 12
RUNS = 50


def page(folder: Path, view: View) -> list[Children]:
    """The comparison of `runs=a,b,c`, in that order."""
    ids = [each for each in view.get("runs").split(",") if each][:RUNS]
    if len(ids) < 2:
        return [
            html.H1("Compare runs"),
            html.P(["Name at least two runs in the address: ", html.Code("/compare?runs=a,b,c"), "."]),
        ]
    frame = frame_of(folder, ids)
    return [
        html.H1("Compare runs"),
        html.P(["In this order: ", *[part for each in ids for part in (link(shown(each), run_path(each)), " ")]]),
        frame_chart("trajectories", TRAJECTORIES, frame, trajectories, view, "/data"),
        html.H2("Appears and vanishes"),
        _sets(folder, ids),
    ]


def frame_of(folder: Path, ids: Sequence[str]) -> pl.DataFrame | str:
    """The flagged share inside each rule of any of the runs, in every run."""
    rules = _rules(folder, ids)
    if not rules:
        return "None of these runs has a finding."
    rows = []
    for run_id in ids:
        with opened(folder, run_id) as run:
            rows += [(text, run_id, *_inside(run, rule)) for text, rule in rules.items()]
    schema: dict[str, Any] = {"rule": pl.String, "run": pl.String, "n": pl.Int64, "flagged": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema | dict.fromkeys(("low", "high", "max_score"), pl.Float64), orient="row")
    return (
        frame.with_columns(pl.col("rule").cast(pl.Enum(list(rules))))
        .sort("rule", maintain_order=True)
        .cast({"rule": pl.String})
    )


def _rules(folder: Path, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The rules of all runs in words, the best of every run first."""
    ranked = []
    for place, run_id in enumerate(ids):
        with opened(folder, run_id) as run:
            ranked += [(finding.rule, rank, place) for rank, finding in enumerate(run.findings)]
    ranked.sort(key=lambda each: each[1:])
    found: dict[str, Mapping[str, Any]] = {}
    for rule, *_ in ranked:
        found.setdefault(words.rule_in_words(rule).replace("`", ""), rule)
    return dict(list(found.items())[:RULES])


def _inside(run: OpenRun, rule: Mapping[str, Any]) -> tuple[Any, ...]:
    """n, flagged, low, high, max_score inside a rule; n = 0 where the suite of the run has no such factor."""
    levels = {factor.name: [level.name for level in factor.levels] for factor in run.factors}
    if not rule.keys() <= levels.keys():
        return 0, 0, None, None, None
    filters = {name: allowed(value, levels[name]) for name, value in rule.items()}
    row = counts(run.query, (), filters=filters, measure=MEASURES["flagged"]).row(0, named=True)
    return tuple(row[name] for name in ("n", "flagged", "low", "high", "max_score"))


def _sets(folder: Path, ids: Sequence[str]) -> Children:
    """Rule by run: its status and rate where it was listed; first and last seen."""
    listed: dict[str, dict[str, Finding]] = {}
    known: dict[str, Finding] = {}
    for run_id in ids:
        with opened(folder, run_id) as run:
            for finding in run.findings:
                known.setdefault(finding.fingerprint, finding)
                listed.setdefault(finding.fingerprint, {})[run_id] = finding
    body = []
    for key, seen in list(listed.items())[:100]:
        cells = [
            html.Td([share(seen[run_id].rate_inside), " ", html.Span(seen[run_id].status, className="status")])
            if run_id in seen
            else html.Td("not listed", className="muted")
            for run_id in ids
        ]
        in_order = [run_id for run_id in ids if run_id in seen]
        body.append(
            [
                html.Td(rule_text(known[key].rule)),
                known[key].kind.replace("_", " "),
                shown(in_order[0]),
                shown(in_order[-1]),
                *cells,
            ]
        )
    if not body:
        return html.P("None of these runs has a finding.")
    return table(["rule", "kind", "first seen", "last seen", *map(shown, ids)], body)


def trajectories_csv(folder: Path, view: View) -> pl.DataFrame | str:
    """The frame of the trajectories for a download."""
    ids = [each for each in view.get("runs").split(",") if each][:RUNS]
    if len(ids) < 2:
        raise InputError("name at least two runs: ?runs=a,b")
    return frame_of(folder, ids)


def _no_frame(*_: Any) -> str:
    return "drawn by the page"


def _draw(frame: pl.DataFrame, *_: Any) -> go.Figure:
    return trajectories(frame)


TRAJECTORIES = Chart(
    "Every rule in every run", _no_frame, _draw,
    "Flagged share inside the rule with its exact 95 % interval; a gap where no condition of the run is inside. Each "
    "run flags by its "
    "own threshold. Lines differ in symbol and dash.",
)  # fmt: skip
