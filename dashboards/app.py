"""The application: an address to a page, a choice or a click to an address, and the frames of charts as files."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
from dash import ALL, Dash, Input, Output, State, ctx, dcc, html
from dash.exceptions import PreventUpdate
from flask import Response, abort, request

from dashboards.charts import csv, parquet
from dashboards.elements import Children, link, shown
from dashboards.guard import guard
from dashboards.pages import compare, condition, coverage, explore, findings, overview, provenance, runs, tools
from dashboards.runs import OpenRun, opened
from dashboards.theme import switch, themed
from dashboards.view import View, parsed
from diffbehav.errors import DiffbehavError, InputError
from diffbehav.records import model_name

PAGES: tuple[ModuleType, ...] = (overview, explore, findings, tools, condition, coverage, provenance)
"""The pages of one run, in the order of the navigation."""
CHARTS = {name: chart for page in PAGES for name, chart in page.CHARTS.items()}
ASSETS = Path(__file__).parent / "assets"


def create_app(folder: Path, *, hosts: Sequence[str], token: str | None) -> Dash:
    """The application over the runs below `folder`, for requests to one of `hosts`; read-only."""
    app = Dash(
        "diffbehav",
        assets_folder=str(ASSETS),
        serve_locally=True,
        compress=True,
        enable_mcp=False,
        update_title=None,
        suppress_callback_exceptions=True,
        title="diffbehav",
    )
    app.layout = html.Div(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            html.A("Skip to the content", href="#page", className="skip"),
            html.Div(id="page"),
            html.Div(id="titled", hidden=True),
        ]
    )
    _add_callbacks(app, folder)
    _add_files(app, folder)
    guard(app.server, hosts=hosts, token=token, script_hashes=app.csp_hashes())
    return app


def render(folder: Path, view: View) -> list[Children]:
    """The whole page of an address."""
    parts = [part for part in view.path.split("/") if part]
    try:
        if not parts:
            return [_header(None, None, ""), html.Main(runs.page(folder, view), id="main")]
        if parts == ["compare"]:
            return [_header(None, None, ""), html.Main(compare.page(folder, view), id="main")]
        page = _page_of(parts)
        with opened(folder, parts[1]) as run:
            return [_header(run, page, page.TITLE), html.Main([html.H1(page.TITLE), *page.page(run, view)], id="main")]
    except DiffbehavError as error:
        return [_header(None, None, ""), html.Main([html.H1("This cannot be shown"), html.P(shown(error))], id="main")]


def _page_of(parts: list[str]) -> ModuleType:
    if parts[0] == "run" and len(parts) > 1:
        for page in PAGES:
            rest = parts[2:]
            if len(rest) == len(page.PATH) and all(a in (b, "*") for a, b in zip(page.PATH, rest, strict=True)):
                return page
    raise InputError(f"there is no page /{'/'.join(parts)}")


def _header(run: OpenRun | None, current: ModuleType | None, title: str) -> html.Header:
    """Where one is, and where one can go."""
    links: list[Children] = [link("diffbehav", "/", className="brand"), link("Runs", "/")]
    if run is not None:
        names = [model_name(run.facts["sides"][side]) for side in ("candidate", "trusted")]
        links.append(
            html.Span(shown(run.id), className="run-name", title=f"{shown(names[0])} compared with {shown(names[1])}")
        )
        for page in PAGES:
            if "*" not in page.PATH:
                kind = "current" if page is current else ""
                links.append(link(page.TITLE, run.href(*page.PATH), className=kind))
    keys = "Keys: j, k findings; p pair; o overview"
    return html.Header(
        [html.Nav(links, **{"aria-label": "Pages"}), html.Span(keys, className="keys"), switch()],
        **{"data-title": title},
    )


def _add_callbacks(app: Dash, folder: Path) -> None:
    @app.callback(Output("page", "children"), Input("url", "pathname"), Input("url", "search"))
    def show(path: str | None, search: str | None) -> list[Children]:
        return render(folder, parsed(path or "/", search or ""))

    @app.callback(
        Output("url", "href"),
        Input({"chart": ALL}, "clickData"),
        State("url", "pathname"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def follow(_clicks: list[Any], path: str, search: str | None) -> str:
        view = parsed(path, search or "")
        chart = CHARTS.get((ctx.triggered_id or {}).get("chart", ""))
        clicked = ctx.triggered[0]["value"] if ctx.triggered else None
        points = (clicked or {}).get("points") or []
        if chart is None or not points:
            raise PreventUpdate
        with opened(folder, view.path.split("/")[2]) as run:
            href: str | None = chart.follow(points[0].get("customdata"), run, view)
        if not href or not href.startswith("/run/"):
            raise PreventUpdate
        return href

    app.clientside_callback(
        "function(children) { document.title = window.diffbehavTitle(); return ''; }",
        Output("titled", "children"),
        Input("page", "children"),
    )


def _add_files(app: Dash, folder: Path) -> None:
    @app.server.get("/assets/report.css")
    def style() -> Response:
        text = resources.files("diffbehav.report").joinpath("report.css").read_text(encoding="utf-8")
        return Response(themed(text), mimetype="text/css")

    @app.server.get("/data/<run_id>/<path:place>")
    def data(run_id: str, place: str) -> Response:
        name, _, kind = place.rsplit("/", 1)[-1].partition(".")
        view = parsed(f"/run/{run_id}", request.query_string.decode("utf-8", "replace"))
        try:
            with opened(folder, run_id) as run:
                return _file(name, kind, CHARTS[name].frame(run, view) if name in CHARTS else "no such chart")
        except DiffbehavError as error:
            return abort(404, str(error))

    @app.server.get("/data/<name>.<kind>")
    def data_of_all(name: str, kind: str) -> Response:
        view = parsed("/", request.query_string.decode("utf-8", "replace"))
        try:
            if name == "trend":
                found, _ = runs.summaries(folder)
                return _file(name, kind, runs.trend_frame(found, view.get("suite")))
            return _file(name, kind, compare.asked_frame(folder, view) if name == "trajectories" else "no such chart")
        except DiffbehavError as error:
            return abort(404, str(error))


def _file(name: str, kind: str, frame: pl.DataFrame | str) -> Response:
    if isinstance(frame, str):
        abort(404, frame)
    if kind == "csv":
        response = Response("".join(csv(frame)), mimetype="text/csv; charset=utf-8")
    elif kind == "parquet":
        response = Response(parquet(frame), mimetype="application/vnd.apache.parquet")
    else:
        abort(404, "numbers come as .csv or .parquet")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{kind}"'
    return response
