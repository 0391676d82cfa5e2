"""report.json and the findings say what run.duckdb holds, and no more."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from scipy.stats import binomtest

from diffbehav import untrusted
from diffbehav.errors import InputError, IntegrityError
from diffbehav.report import findings_json, write_report
from diffbehav.report.factors import Factor, Level, date_factor, driving_factors
from diffbehav.report.findings import Finding
from diffbehav.report.words import HEADLINES, prevalence
from tests.report.synthetic import DATES, FACTORS, THRESHOLD, make_run


def rule(**levels: list[str]) -> Finding:
    return Finding("F001", levels, "NOT TESTED", "text", 1, 1, None, None, 1, 1, 1, 0, 5, 5, None, None, None, "none")


def factor(name: str, source: str | None = None, levels: tuple[str, ...] = ("a", "b")) -> Factor:
    return Factor(name, source, tuple(Level(level, 1) for level in levels))


def test_findings_come_best_first_with_the_planted_rule_on_top(hostile_run: Path) -> None:
    found = findings_json(hostile_run)
    assert found["run_id"] == "20261121T101500-agentic-devops"
    assert found["verdict"] == "INCONCLUSIVE"
    assert [finding["id"] for finding in found["findings"]] == ["F001", "F002", "F003", "F004"]
    best = found["findings"][0]
    assert best["rule"] == {"year": ["2026"]}
    assert best["kind"] == "tool_call"
    assert best["minimal_pair"]["factor"] == "date"
    assert best["effect"] == pytest.approx(best["rate_inside"] - best["rate_outside"])
    assert found["findings"][3]["minimal_pair"] is None
    assert json.loads(json.dumps(found)) == found


def test_shares_of_the_heat_map_agree_with_a_count_by_hand(hostile_run: Path, document: dict) -> None:
    heat_map = document["figures"]["heat_map"]
    assert (heat_map["x"], heat_map["y"]) == ("year", "path")
    connection = duckdb.connect(str(hostile_run / "run.duckdb"), read_only=True)
    rows = connection.execute(
        "SELECT year, path, score FROM conditions JOIN screen USING (condition_id) WHERE score IS NOT NULL"
    ).fetchall()
    connection.close()
    for cell in heat_map["cells"]:
        scores = [score for year, path, score in rows if (year, path) == (cell["x"], cell["y"])]
        assert cell["n"] == len(scores)
        assert cell["flagged"] == sum(score > THRESHOLD for score in scores)
        interval = binomtest(cell["flagged"], cell["n"]).proportion_ci(method="exact")
        assert (cell["low"], cell["high"]) == pytest.approx((interval.low, interval.high))


def test_the_timeline_has_every_date_in_order(document: dict) -> None:
    timeline = document["figures"]["timeline"]
    assert timeline["factor"] == "date"
    assert [row["date"] for row in timeline["rows"]] == DATES


def test_an_untested_level_is_in_the_marginals_without_a_share(document: dict) -> None:
    row = next(row for row in document["figures"]["marginals"] if row["level"] == "staging")
    assert row["n"] == 0
    assert row["low"] is None
    assert row["max_score"] is None


def test_coverage_counts_pairs_of_levels_and_leaves_out_what_decides_one_another(document: dict) -> None:
    pairs = {(pair["first"], pair["second"]): pair for pair in document["coverage"]["pairs"]}
    assert ("date", "year") not in pairs
    assert ("year", "weekday") not in pairs
    tested = pairs["date", "path"]
    assert tested["possible"] == len(DATES) * len(FACTORS["path"])
    assert tested["exposed"] == tested["possible"] - sum(day < "2023-07" for day in DATES)


def test_missing_numbers_are_counted_by_reason(document: dict) -> None:
    missing = {(row["what"], row["reason"]): row["n"] for row in document["coverage"]["missing"]}
    assert missing["screen score", "the trusted answer was not scored: the engine died"] == 6
    assert missing["call_distance", "neither side called a tool"] > 100
    assert document["conditions"]["measured"] == document["conditions"]["collected"] - 6


def test_a_pair_shows_four_answers_the_changed_calls_and_the_tokens(document: dict) -> None:
    pair = document["findings"][0]["pair"]
    for shown in (pair["inside"], pair["outside"]):
        assert [answer["side"] for answer in shown["answers"]] == ["candidate", "trusted"]
        assert shown["tokens"]["total"] == len(json.loads(untrusted.from_json_untrusted(shown["tokens"]["texts"])))
    differing = {f for f, level in pair["inside"]["levels"].items() if level != pair["outside"]["levels"][f]}
    assert differing <= {"date", "year", "weekday"}
    changes = [change["change"] for change in pair["inside"]["changes"]]
    assert changes == ["extra_call", "changed", "added", "removed"]


def test_model_text_is_in_the_document_only_in_its_untrusted_form(report: Path) -> None:
    text = (report / "report.json").read_text("utf-8")
    assert "\\u001b" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\u202e" not in text


@pytest.mark.parametrize("verdict", sorted(HEADLINES))
def test_every_verdict_has_its_fixed_words(tmp_path: Path, verdict: str) -> None:
    make_run(tmp_path, hostile=[], verdict=verdict)
    write_report(tmp_path, tmp_path / "report")
    document = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert document["verdict"]["headline"] == HEADLINES[verdict]
    assert HEADLINES[verdict] in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_a_run_without_findings_and_scores_still_has_a_report(tmp_path: Path) -> None:
    make_run(tmp_path, hostile=[], verdict="NO_DIVERGENCE_FOUND")
    connection = duckdb.connect(str(tmp_path / "run.duckdb"))
    connection.execute("DELETE FROM findings")
    connection.execute("UPDATE screen SET score = NULL, reason = 'nothing was scored'")
    connection.execute("UPDATE run SET value = 'null' WHERE key = 'threshold'")
    connection.close()
    page = write_report(tmp_path, tmp_path / "report")[0].read_text("utf-8")
    assert "No rule over the factors separated the two models" in page
    assert "No condition was measured" in page


def test_a_folder_without_a_database_and_a_database_without_facts_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.duckdb does not exist"):
        write_report(tmp_path, tmp_path / "report")
    make_run(tmp_path, hostile=[])
    connection = duckdb.connect(str(tmp_path / "run.duckdb"))
    connection.execute("DELETE FROM run WHERE key = 'sides'")
    connection.close()
    with pytest.raises(IntegrityError, match="table run lacks sides"):
        findings_json(tmp_path)


def test_a_database_cannot_make_the_report_read_another_file(hostile_run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not for the report")
    shutil.copy(hostile_run / "run.duckdb", tmp_path / "run.duckdb")
    connection = duckdb.connect(str(tmp_path / "run.duckdb"))
    connection.execute("ALTER TABLE run RENAME TO old_run")
    connection.execute(
        f"CREATE VIEW run AS SELECT key, CASE key WHEN 'run_id' THEN (SELECT to_json(content)::VARCHAR "
        f"FROM read_text('{secret}')) ELSE value END AS value FROM old_run"
    )
    connection.close()
    with pytest.raises(duckdb.Error, match="disabled by configuration"):
        findings_json(tmp_path)


def test_axes_of_the_heat_map_are_factors_of_the_best_rules_that_do_not_decide_one_another() -> None:
    factors = [factor("date"), factor("year", "date"), factor("tool")]
    assert driving_factors(factors, [rule(year=["a"], tool=["b"])]) == ("year", "tool")
    assert driving_factors(factors, [rule(year=["a"]), rule(date=["b"]), rule(tool=["a"])]) == (
        "year",
        "tool",
    )
    assert driving_factors(factors, [rule(year=["a"])]) == ("year", "task")
    assert driving_factors(factors, []) == ("date", "tool")
    assert driving_factors([], []) is None


def test_the_date_factor_is_the_longest_one_whose_levels_are_all_iso_dates() -> None:
    days = factor("day", None, ("2026-01-01", "2026-01-02", "2026-01-03"))
    short = factor("release", None, ("2026-01-01",))
    odd = factor("when", None, ("2026-01-01", "never", "2026-13-01", "x"))
    assert date_factor([short, odd, days]) is days
    assert date_factor([odd, factor("locale")]) is None


def test_the_prevalence_bound_is_three_over_n() -> None:
    assert "0.5 % (3/N, N = 600)" in prevalence(600)
