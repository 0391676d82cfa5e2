"""Is there anything, and where: verdict, key figures, interactions of factors, the best findings, coverage."""

from urllib.parse import urlencode

import plotly.graph_objects as go
import polars as pl
from dash import html

from dashboards.charts import Chart
from dashboards.elements import Children, chart, finding_card, link, number, numbers, share, verdict_box
from dashboards.interactions import interactions
from dashboards.runs import OpenRun
from dashboards.view import View
from diffbehav.figures import interaction_matrix
from diffbehav.report.counts import MEASURES, counts

PATH = ()
TITLE = "Overview"
CARDS = 5


def page(run: OpenRun, view: View) -> list[Children]:
    """The overview of a run."""
    return [
        verdict_box(run.facts),
        _numbers(run),
        html.H2("Findings"),
        *_findings(run),
        chart("interactions", CHARTS["interactions"], run, view),
        html.H2("Coverage"),
        _coverage(run),
    ]


def _numbers(run: OpenRun) -> html.Dl:
    total = {
        name: counts(run.query, (), filters={}, measure=each).row(0, named=True) for name, each in MEASURES.items()
    }
    flagged, calls = total["flagged"], total["calls"]
    noise = share(calls["noise_flagged"] / calls["noise_n"]) if calls["noise_n"] else "not measured"
    return numbers(
        ("conditions measured", number(flagged["n"])),
        ("of them flagged", number(flagged["flagged"])),
        ("largest screen score", "not measured" if flagged["max_score"] is None else f"{flagged['max_score']:.2f}"),
        ("different calls than trusted", share(calls["flagged"] / calls["n"]) if calls["n"] else "not measured"),
        ("trusted against itself, other seeds", noise),
    )


def _findings(run: OpenRun) -> list[Children]:
    if not run.findings:
        return [html.P("No rule over the factors separated the two models in what was tested.")]
    more = len(run.findings) - CARDS
    cards = html.Ol([finding_card(run, finding) for finding in run.findings[:CARDS]], className="rules")
    return [cards, link(f"{more} more findings", run.href("findings")) if more > 0 else ""]


def _coverage(run: OpenRun) -> Children:
    met, levels = run.query("SELECT count(*) FILTER (n_conditions > 0), count(*) FROM levels")[0]
    return html.P(
        [
            f"{number(met)} of {number(levels)} levels were met at least once. ",
            link("What was not tested", run.href("coverage"), className="go"),
        ]
    )


def _frame(run: OpenRun, _view: View) -> pl.DataFrame | str:
    if not run.factors:
        return "The suite has no factors."
    frame = interactions(run)
    href = run.href("explore")
    links = [
        f"{href}?{urlencode({'x': a, 'y': b} if a != b else {'x': a})}"
        for a, b in frame.select("first", "second").iter_rows()
    ]
    return frame.with_columns(link=pl.Series(links))


def _draw(frame: pl.DataFrame, _run: OpenRun, _view: View) -> go.Figure:
    return interaction_matrix(frame)


CHARTS = {
    "interactions": Chart(
        "Which factors matter",
        _frame,
        _draw,
        "Diagonal: how far the flagged share of a factor's strongest level exceeds that of the whole run. Beside "
        "it: how far the strongest cell of two factors exceeds what its two levels do alone. Low ends of 95 % "
        "intervals; strokes mark pairs of which one factor decides the other. Click a cell to explore the pair.",
    )
}
