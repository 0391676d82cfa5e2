"""report.json and the findings say what run.duckdb holds, and no more."""

import json
import re
import shutil
from pathlib import Path

import duckdb
import pytest
from scipy.stats import binomtest

from diffbehav import untrusted
from diffbehav.errors import InputError, IntegrityError
from diffbehav.report import findings_json, write_report
from diffbehav.report.evidence import MOST_MISSING, read_missing
from diffbehav.report.factors import Factor, Level, date_factor, driving_factors
from diffbehav.report.findings import Finding
from diffbehav.report.html import small
from diffbehav.report.query import querying
from diffbehav.report.words import HEADLINES
from diffbehav.store.database import open_untrusted
from tests.report.synthetic import DATES, FACTORS, THRESHOLD, fill_outcomes, make_run


def rule(**levels: list[str]) -> Finding:
    numbers = (1, 1, None, None, 1, 1, 1, 0, 5, 5)
    rest = (None, None, None, "none", "screen_score", None, "none", "f" * 64, None)
    return Finding("F001", levels, (), "NOT TESTED", "text", *numbers, *rest)


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
    connection = open_untrusted(hostile_run / "run.duckdb")
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
    pairs = {(pair["first"], pair["second"]): pair for pair in document["coverage"]["counted"]["pairs"]["run"]}
    assert ("date", "year (from date)") not in pairs
    assert ("year (from date)", "weekday (from date)") in pairs
    tested = pairs["date", "path"]
    assert tested["possible"] == len(DATES) * len(FACTORS["path"])
    assert tested["once"] == tested["possible"] - sum(day < "2023-07" for day in DATES)
    assert tested["least"] == 0


def test_missing_numbers_are_counted_by_reason(document: dict) -> None:
    missing = {(row["what"], row["reason"]): row["n"] for row in document["coverage"]["missing"]}
    assert missing["screen score", "the trusted answer was not scored: the engine died"] == 6
    assert missing["call_distance", "neither side called a tool"] > 100
    assert document["conditions"]["measured"] == document["conditions"]["collected"] - 6


def test_kinds_of_missing_numbers_beyond_the_listed_ones_are_summed_up(hostile_run: Path, tmp_path: Path) -> None:
    database = Path(shutil.copy(hostile_run / "run.duckdb", tmp_path))
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            "INSERT INTO divergences (condition_id, distance, reason) SELECT condition_id, 'distance ' || i, 'reason' "
            "FROM range(100) t(i), (FROM conditions LIMIT 7)"
        )
    with querying(hostile_run / "run.duckdb") as query:
        before = read_missing(query)
    with querying(database) as query:
        listed = read_missing(query)
    further = len(before) + 100 - MOST_MISSING
    assert (len(listed), listed[-1][:2]) == (MOST_MISSING + 1, ("not listed", f"{further} further kinds"))
    assert sum(row.n for row in listed) == sum(row.n for row in before) + 700



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
    connection.execute("DELETE FROM outcomes; DELETE FROM slices")
    fill_outcomes(connection, threshold=None)
    connection.close()
    page = write_report(tmp_path, tmp_path / "report")[0].read_text("utf-8")
    assert "No rule over the factors separated the two models" in page
    assert "<b>Conditions without a screen score:</b> 552 of 552" in page


def test_a_rule_that_was_tested_outside_of_others_says_so_in_every_form(tmp_path: Path) -> None:
    make_run(tmp_path, hostile=[])
    connection = duckdb.connect(str(tmp_path / "run.duckdb"))
    connection.execute("""UPDATE findings SET beside = '[{"place": ["abroad"]}, {"user": ["root"]}]' WHERE rank = 1""")
    connection.close()
    others = [{"place": ["abroad"]}, {"user": ["root"]}]
    assert [each["beside"] for each in findings_json(tmp_path)["findings"][:2]] == [others, []]
    formats = ("html", "md", "csv", "sarif", "junit", "json")
    written = write_report(tmp_path, tmp_path / "report", formats)
    texts = [re.sub("<.?code>|<.?b>|`", "", path.read_text("utf-8")) for path in written]
    assert all("tested outside of place is abroad" in text for text in texts)
    assert json.loads(texts[-1])["findings"][0]["beside"] == others


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
    with pytest.raises(IntegrityError, match="disabled by configuration"):
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


NOT_TESTED = (
    "catalogue", "combinations", "triples", "pools", "sampling", "turns", "cut", "tasks", "secrets", "harness",
    "inputs", "unscored", "scan", "search",
)  # fmt: skip


def test_what_was_not_tested_is_in_the_report_and_in_the_findings_alike(hostile_run: Path, document: dict) -> None:
    found = findings_json(hostile_run)["not_tested"]
    assert found == document["not_tested"]
    text = {item["what"]: item["text"] for item in found}
    assert tuple(text) == NOT_TESTED
    assert "4be1" * 16 in text["catalogue"]
    assert "no grid finds a random passphrase" in text["secrets"]
    assert "7 levels of `tool`" in text["pools"] and "only 31 of" in text["pools"]
    assert "temperature 0.0, n 1, seed 7" in text["sampling"]
    assert "one turn only" in text["turns"]
    assert "max_tokens (256). Cut there: candidate 3 of 552 answers (0.5 %), trusted 3 of 552" in text["cut"]
    assert "6 of 552. They count as no exposure. Reasons: the trusted answer was not scored" in text["unscored"]
    assert "no search has put the rules to the test" in text["search"]


def test_the_largest_combinations_below_the_needed_exposures_are_named_with_the_number_of_all(document: dict) -> None:
    text = next(item["text"] for item in document["not_tested"] if item["what"] == "combinations")
    counted = document["coverage"]["counted"]
    listed = counted["underexposed"]["run"]
    assert len(listed) == 24 and counted["below"]["run"] == 24 + 1234
    assert "fewer than 5 exposures: 1,258 combinations" in text
    first = ", ".join(f"{name} = {level}" for name, level in listed[0]["levels"].items())
    assert f"The largest, with their exposures: {first} ({listed[0]['exposures']})" in text
    assert [row["share"] for row in listed] == sorted((row["share"] for row in listed), reverse=True)


def test_a_run_whose_coverage_was_not_counted_says_so_and_still_lists_what_was_not_tested(tmp_path: Path) -> None:
    make_run(tmp_path, hostile=[])
    connection = duckdb.connect(str(tmp_path / "run.duckdb"))
    connection.execute("DELETE FROM run WHERE key = 'coverage'")
    connection.close()
    page = write_report(tmp_path, tmp_path / "report")[0].read_text("utf-8")
    assert "which of them were met was not counted: the database is without it" in page
    assert "no grid finds a random passphrase" in page


def with_ledger(folder: Path) -> None:
    """Say that the run was one of three of a ledger, with twice the exposures."""
    connection = duckdb.connect(str(folder / "run.duckdb"))
    facts = json.loads(connection.execute("SELECT value FROM run WHERE key = 'coverage'").fetchall()[0][0])
    facts |= {"ledger": {"runs": 3, "passes": 6, "conditions": 1500}, "unlisted": {"run": 1234, "ledger": 77}}
    connection.execute("UPDATE run SET value = $1 WHERE key = 'coverage'", [json.dumps(facts)])
    for table in ("coverage", "coverage_pairs", "underexposed"):
        connection.execute(f"INSERT INTO {table} SELECT 'ledger' AS scope, * EXCLUDE scope FROM {table}")
    connection.execute("UPDATE coverage SET often = once WHERE scope = 'ledger'")
    connection.close()


def test_a_run_of_a_ledger_shows_what_all_its_runs_exposed_beside_its_own(tmp_path: Path) -> None:
    make_run(tmp_path, hostile=[])
    with_ledger(tmp_path)
    page = write_report(tmp_path, tmp_path / "report")[0].read_text("utf-8")
    assert "The ledger holds 3 runs (6 passes, 1\u202f500 different conditions)" in page
    assert "all runs of the ledger: at least once" in page and "this run: at least once" in page
    text = {item["what"]: item["text"] for item in findings_json(tmp_path)["not_tested"]}
    assert "over all 3 runs of the ledger: 101 combinations" in text["combinations"]


def test_small_shares_are_rounded_up_to_two_digits() -> None:
    assert [small(share) for share in (0.0019952, 0.000091, 0.05, 0.2, 1.0, 0.0)] == [
        "0.20 %", "0.0091 %", "5.0 %", "20.0 %", "100 %", "0 %",
    ]  # fmt: skip
