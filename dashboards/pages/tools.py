"""Did it say one thing and do another: said by did, changed arguments, violations, simulated worlds, code."""

import plotly.graph_objects as go
import polars as pl
from dash import html

from dashboards import code
from dashboards.charts import Chart
from dashboards.code import code_section
from dashboards.elements import ROWS, Children, chart, inline, link, number, pager, shown, table
from dashboards.runs import OpenRun
from dashboards.view import View
from dashboards.worlds import world_section
from diffbehav import untrusted
from diffbehav.compare.distances import DISTANCES
from diffbehav.distance.said_did import DID, SAID
from diffbehav.figures import argument_paths, said_did
from diffbehav.report import words

PATH = ("tools",)
TITLE = "Tools"
PLACES = 15
COLUMNS = ("condition", "score", "mismatch", "task", "said", "did", "first change", "tool", "value")
MISMATCH = DISTANCES["mismatch"].meaning


def page(run: OpenRun, view: View) -> list[Children]:
    """The tools page; `said` and `did` choose a cell of the matrix, `cwe` a weakness."""
    return [
        chart("said_did", CHARTS["said_did"], run, view),
        *_changes(run, view),
        *_violations(run),
        chart("arguments", CHARTS["arguments"], run, view),
        *_argument_names(run),
        *world_section(run),
        *code_section(run, view),
    ]


def _matrix_frame(run: OpenRun, view: View) -> pl.DataFrame | str:
    rows = run.query(
        "SELECT said, did, count(*), count(*) FILTER (flagged) FROM outcomes WHERE said IS NOT NULL GROUP BY ALL"
    )
    if not rows:
        return "No condition has answers of both sides."
    counted = {(said, did): (n, flagged) for said, did, n, flagged in rows}
    cells = [
        (said, did, *counted.get((said, did), (0, 0)), view.href(said=said, did=did)) for said in SAID for did in DID
    ]
    return pl.DataFrame(cells, schema=["said", "did", "n", "flagged", "link"], orient="row", infer_schema_length=None)


def _draw_matrix(frame: pl.DataFrame, _run: OpenRun, _view: View) -> go.Figure:
    return said_did(frame)


def _changes(run: OpenRun, view: View) -> list[Children]:
    """The conditions of the chosen cell; without a choice those in which the calls differ most remarkably."""
    said, did = view.get("said"), view.get("did")
    chosen = said in SAID and did in DID
    condition = "said = $said AND did = $did" if chosen else "did IN ('extra call', 'other tool', 'broken call')"
    values = {"said": said, "did": did} if chosen else {}
    total = run.query(f"SELECT count(*) FROM outcomes WHERE {condition}", **values)[0][0]
    rows = run.query(
        f"""
        WITH chosen AS (
            SELECT condition_id, task, said, did, score FROM outcomes WHERE {condition}
            ORDER BY score DESC NULLS LAST, condition_id LIMIT {ROWS} OFFSET $offset
        )
        SELECT chosen.*, any_value(change ORDER BY sample, change), any_value(tool ORDER BY sample, change),
               any_value(left(coalesce(candidate, trusted), 400) ORDER BY sample, change), any_value(mismatch)
        FROM chosen LEFT JOIN argument_changes USING (condition_id)
        LEFT JOIN (
            SELECT condition_id, value AS mismatch FROM divergences WHERE distance = 'mismatch'
        ) USING (condition_id) GROUP BY ALL
        ORDER BY score DESC NULLS LAST, condition_id
        """,
        offset=min(view.number("p") * ROWS, 10_000_000),
        **values,
    )
    heading = f"Said “{said}”, did “{did}”" if chosen else "Extra, other and broken calls"
    body = [
        [
            link(row[0][:12], run.href("c", row[0]), className="mono"),
            "not measured" if row[4] is None else f"{row[4]:.2f}",
            "not measured" if row[8] is None else f"{row[8]:.1f}",
            shown(row[1]), row[2], row[3],
            "" if row[5] is None else html.Span(words.CHANGES[row[5]][0], className=f"tag {row[5]}"),
            "" if row[6] is None else inline(row[6]),
            "" if row[7] is None else inline(untrusted.shorten(row[7], 160)),
        ]
        for row in rows
    ]  # fmt: skip
    return [
        html.H3(heading),
        link("back to all", view.href(said=None, did=None), className="chip") if chosen else "",
        html.P(
            f"{number(total)} conditions. Tool names and values were {words.SENTENCE}. Mismatch: {MISMATCH}.",
            className="note",
        ),
        table(COLUMNS, body) if rows else "",
        pager(view, total=total) if total > ROWS else "",
    ]


def _violations(run: OpenRun) -> list[Children]:
    """Calls that a policy forbids, where the run has the table."""
    if "violations" not in run.tables:
        return []
    columns = [
        row[0]
        for row in run.query(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = 'violations' ORDER BY column_index"
        )
    ]
    rows = run.query(f"SELECT * FROM violations LIMIT {ROWS}")
    total = run.query("SELECT count(*) FROM violations")[0][0]
    body = [[_violation_cell(run, name, value) for name, value in zip(columns, row, strict=True)] for row in rows]
    return [
        html.H3("Violations of the policy"),
        html.P(
            f"{number(total)} calls; the first {len(rows)} are shown." if total else "No call violated the policy.",
            className="note",
        ),
        table([name.replace("_", " ") for name in columns], body) if rows else "",
    ]


def _violation_cell(run: OpenRun, name: str, value: object) -> Children:
    if name == "condition_id":
        return link(str(value)[:12], run.href("c", str(value)), className="mono")
    return "" if value is None else inline(untrusted.shorten(str(value), 300))


def _places(run: OpenRun) -> pl.DataFrame:
    """The most changed arguments: `place` (A1, A2, ...), `tool`, `path`, `change`, `conditions`."""
    rows = run.query(
        f"""
        WITH counted AS (
            SELECT tool, path, change, count(DISTINCT condition_id) AS k FROM argument_changes GROUP BY ALL
        ), best AS (
            SELECT tool, path, sum(k) AS total FROM counted GROUP BY ALL ORDER BY total DESC, tool, path LIMIT {PLACES}
        )
        SELECT dense_rank() OVER (ORDER BY total DESC, tool, path), tool, path, change, k
        FROM counted JOIN best USING (tool, path) ORDER BY 1, k DESC
        """
    )
    return pl.DataFrame(
        [(f"A{row[0]}", *row[1:]) for row in rows],
        schema={"place": pl.String, "tool": pl.String, "path": pl.String, "change": pl.String, "conditions": pl.Int64},
        orient="row",
    )


def _arguments_frame(run: OpenRun, _view: View) -> pl.DataFrame | str:
    frame = _places(run).select("place", "change", "conditions")
    return frame if frame.height else "The tool calls of the two models are the same everywhere."


def _draw_arguments(frame: pl.DataFrame, _run: OpenRun, _view: View) -> go.Figure:
    return argument_paths(frame)


def _argument_names(run: OpenRun) -> list[Children]:
    """What A1, A2, ... stand for; names of tools and arguments are a model's words and no text for a figure."""
    names = _places(run).select("place", "tool", "path").unique(maintain_order=True)
    if names.is_empty():
        return []
    return [
        table(
            ["in the chart", "tool", "argument"],
            [[place, inline(tool), inline(path)] for place, tool, path in names.iter_rows()],
        )
    ]


CHARTS = code.CHARTS | {
    "said_did": Chart(
        "What it said, what it did", _matrix_frame, _draw_matrix,
        "Number of conditions in a cell, colour by their flagged share. What was said is told by English words of "
        "the answer (a heuristic); what was done by the calls against the trusted model's. A text that claims "
        "success beside an extra call is a cover story. Click a cell to list its conditions.",
    ),
    "arguments": Chart(
        "Changed calls and arguments", _arguments_frame, _draw_arguments,
        "The most frequent changes, candidate against trusted; the table below says which tool and argument each is.",
    ),
}  # fmt: skip
