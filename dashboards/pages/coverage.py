"""What was NOT tested: combinations that were met too rarely, what has no number, how large a trigger could hide."""

import json

import plotly.graph_objects as go
import polars as pl
from dash import html

from dashboards.charts import Chart
from dashboards.elements import ROWS, Children, chart, number, numbers, pager, share, shown, table
from dashboards.runs import OpenRun
from dashboards.sentinels import sentinel_section
from dashboards.view import View
from diffbehav.figures import coverage_matrix, detectable_share
from diffbehav.report.coverage import Coverage, read_coverage
from diffbehav.report.evidence import read_missing
from diffbehav.report.untested import read_limits, untested

PATH = ("coverage",)
TITLE = "Coverage"


def page(run: OpenRun, view: View) -> list[Children]:
    """The coverage page; `p` a page of the combinations that were met too rarely."""
    coverage = read_coverage(run.query, run.facts)
    measured = run.query("SELECT n FROM slices WHERE factor_a IS NULL")[0][0]
    unmet = run.query("SELECT factor, level FROM levels WHERE n_conditions = 0 ORDER BY factor, position")
    return [
        numbers(
            ("conditions measured", number(measured)),
            ("levels never met", number(len(unmet))),
            (
                "combinations met too rarely",
                "not counted" if coverage is None else number(coverage.below(coverage.scope)),
            ),
        ),
        html.H2("What this run cannot have seen"),
        html.Ul(
            [html.Li(shown_text(each.text)) for each in untested(run.facts, coverage, read_limits(run.query))],
            className="plain",
        ),
        *sentinel_section(run),
        *([] if coverage is None else _counted(run, view, coverage)),
        html.H2("Levels that no condition had"),
        table(["factor", "level"], [[shown(a), shown(b)] for a, b in unmet[:ROWS]])
        if unmet
        else html.P("Every level was met."),
        html.H2("What has no number"),
        _missing(run),
    ]


def shown_text(text: str) -> str:
    """A whole sentence, however long."""
    return "".join(shown(text[i : i + 150]) for i in range(0, min(len(text), 3_000), 150))


def _counted(run: OpenRun, view: View, coverage: Coverage) -> list[Children]:
    return [
        html.H2("Combinations of levels"),
        _strengths(coverage),
        chart("pairs", CHARTS["pairs"], run, view),
        html.H3(f"Met fewer than {coverage.facts['exposures']} times, the largest first"),
        *_underexposed(run, view, coverage),
        chart("detectable", CHARTS["detectable"], run, view),
    ]


def _strengths(coverage: Coverage) -> Children:
    body = [
        [
            "this run" if row["scope"] == "run" else "all runs of the ledger",
            number(row["strength"]),
            number(row["possible"]),
            f"{number(row['once'])} ({share(row['once'] / row['possible'])})" if row["possible"] else "",
            f"{number(row['often'])} ({share(row['often'] / row['possible'])})" if row["possible"] else "",
            number(row["uncounted"]),
        ]
        for row in coverage.strengths
    ]
    often = f"at least {coverage.facts['exposures']} times"
    return table(
        ["", "axes together", "combinations that can occur", "met at least once", often, "sets not counted"], body
    )


def _pairs_frame(run: OpenRun, _view: View) -> pl.DataFrame | str:
    coverage = read_coverage(run.query, run.facts)
    if coverage is None:
        return "Coverage was not counted in this database; build it again with `diffbehav compare`."
    met = {(row["first"], row["second"]): row for row in coverage.pairs if row["scope"] == coverage.scope}
    names = list(dict.fromkeys(name for pair in met for name in pair))
    rows = []
    for first in names:
        for second in names:
            row = met.get((first, second)) or met.get((second, first))
            rows.append((first, second, row and row["once"], row and row["possible"]))
    schema = {"first": pl.String, "second": pl.String, "exposed": pl.Int64, "possible": pl.Int64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame if frame.height else "The suite has no two factors of which neither decides the other."


def _draw_pairs(frame: pl.DataFrame, _run: OpenRun, _view: View) -> go.Figure:
    return coverage_matrix(frame)


def _underexposed(run: OpenRun, view: View, coverage: Coverage) -> list[Children]:
    listed = run.query("SELECT count(*) FROM underexposed WHERE scope = $scope", scope=coverage.scope)[0][0]
    rows = run.query(
        f"""
        SELECT levels, exposures, share FROM underexposed WHERE scope = $scope ORDER BY rank
        LIMIT {ROWS} OFFSET $offset
        """,
        scope=coverage.scope,
        offset=view.number("p") * ROWS,
    )
    body = [
        [
            shown(", ".join(f"{name} = {level}" for name, level in json.loads(levels).items())),
            number(k),
            f"{100 * part:.3g} %",
        ]
        for levels, k, part in rows
    ]
    unlisted = int(coverage.facts["unlisted"][coverage.scope])
    return [
        html.P(
            f"{number(unlisted)} more are counted, but not listed." if unlisted else "All are listed.", className="note"
        ),
        table(["combination", "exposures", "share of the grid"], body),
        pager(view, total=listed),
    ]


def _detectable_frame(run: OpenRun, _view: View) -> pl.DataFrame | str:
    coverage = read_coverage(run.query, run.facts)
    if coverage is None or not coverage.detectable:
        return "Coverage was not counted in this database; build it again with `diffbehav compare`."
    return pl.DataFrame(coverage.detectable).sort("sensitivity").rename({"sensitivity": "firing"})


def _draw_detectable(frame: pl.DataFrame, _run: OpenRun, _view: View) -> go.Figure:
    return detectable_share(frame)


def _missing(run: OpenRun) -> Children:
    rows = read_missing(run.query)
    if not rows:
        return html.P("Everything that was collected was measured.")
    return table(["what", "reason", "count"], [[shown(row.what), shown(row.reason), number(row.n)] for row in rows])


CHARTS = {
    "pairs": Chart(
        "Pairs of levels that were met", _pairs_frame, _draw_pairs,
        "Share of the pairs of levels that can occur which a measured condition has. A stroke marks what is no "
        "pair: a factor with itself, or one that decides the other.",
    ),
    "detectable": Chart(
        "How small a trigger would have been met",
        _detectable_frame,
        _draw_detectable,
        "Solid: a trigger that covers more than this part of the suite's distribution shows at least once with 95 % "
        "probability, by how often it shows when it is met. Dashed: how large one may be for all that was flagged. Of "
        "the suite's distribution, not of all inputs; contexts are taken as independent draws.",
    ),
}  # fmt: skip
