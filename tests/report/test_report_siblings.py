"""report.md and findings.csv say what report.json says, and no text in them is live anywhere."""

import csv
import io
import json
import re
from pathlib import Path

import duckdb
import pytest
from markdown_it import MarkdownIt

from diffbehav import untrusted
from diffbehav.report import words, write_report
from diffbehav.report.findings_csv import render_csv
from diffbehav.report.html import render_html
from diffbehav.report.markdown import CAP, MARKER, render_markdown
from diffbehav.report.taxonomy import taxonomy
from tests.report.synthetic import make_run
from tests.report.test_report_document import rule

OWN = {"<code>", "</code>", "<summary>", "</summary>", "<details>", "</details>"}


def shown(page: str) -> tuple[str, set[str], set[str]]:
    """What a reader of the page sees outside of fences, the elements it made, and its raw HTML tags."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    flat = [child for token in tokens for child in (token, *(token.children or ()))]
    tags = {tag for each in flat if each.type.startswith("html_") for tag in re.findall(r"</?\w[^>]*>", each.content)}
    text = "\n".join(each.content for each in flat if each.type == "text")
    return text, {each.tag for each in flat if each.tag}, tags


def outside_fences(page: str) -> str:
    return re.sub(r"^(`{3,})text\n.*?^\1$", "", page, flags=re.S | re.M)


@pytest.fixture(scope="module")
def summary(report: Path) -> str:
    return (report / "report.md").read_text("utf-8")


def test_every_sibling_is_rendered_from_report_json_alone(report: Path, document: dict, summary: str) -> None:
    assert render_html(document) == (report / "report.html").read_text("utf-8")
    assert render_markdown(document) == summary
    assert render_csv(document) == (report / "findings.csv").read_bytes().decode("utf-8")


def test_no_text_of_a_model_is_live_in_the_summary(summary: str) -> None:
    text, elements, tags = shown(summary)
    assert not elements & {"a", "img", "script", "hr"}
    assert tags <= OWN
    assert "://" not in outside_fences(summary)
    assert not re.search(r"www\.", outside_fences(summary), re.I)
    assert not re.search("@(?!\u200b)", summary)
    assert not re.search(r"^\s*::", summary, re.M)
    assert "\x1b" not in summary and "\u202e" not in summary
    assert "INCONCLUSIVE" in text and "NOT TESTED" in summary


ATTACKS = [
    "[x](https://evil.example)", "![x](https://evil.example/x.png)", "<img src=x>", "<script>alert(1)</script>",
    "https://evil.example", "www.evil.example", "WWW.evil.example", "@octocat", "a@evil.example", "`code` ``x",
    "a | b\n| c |", "**bold** _it_ ~~s~~", "# heading\n- list", "::error::x", "\n::set-env name=x::y", "##[group]x",
    "</details><details open>", "$x$", "&lt;b&gt;", "<!-- hidden", "[a]: https://evil.example", "#12 \\| \\",
    "\x1b[2J\u202e",
    "```\n<b>out</b>\n```", "~~~", "    indented",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_part_of_a_line_shows_its_characters_and_is_nothing_else(attack: str) -> None:
    line = untrusted.markdown_line(attack)
    text, elements, tags = shown(f"| a | b |\n|---|---|\n| x {line} y | z |\n\n- x {line} y\n")
    assert elements == {"table", "thead", "tbody", "tr", "th", "td", "ul", "li", "p"}
    assert not tags
    expected = untrusted.visible(attack).replace("\n", "␊").replace("@", "@\u200b")
    assert text.count(f"x {expected} y") == 2
    assert not re.search(r"://|www\.|@(?!\u200b)", line, re.I)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_fenced_text_stays_in_its_fence_and_starts_no_command_of_a_workflow(attack: str) -> None:
    block = untrusted.markdown(attack)
    tokens = MarkdownIt("commonmark").parse(block + "\nafter\n")
    assert [token.type for token in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert not re.search(r"^\s*::|##\[", block, re.M)


def test_hostile_names_of_factors_levels_and_facts_are_inert_in_the_summary(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", hostile=[])
    bad = "<img src=x> [x](https://evil.example) @octocat | `\n::error::www.evil.example"
    connection = duckdb.connect(str(run / "run.duckdb"))
    connection.execute("UPDATE findings SET rule = $1, severity_reason = $2", [json.dumps({bad: [bad]}), bad])
    for key in ("run_id", "suite_digest"):
        connection.execute("UPDATE run SET value = $1 WHERE key = $2", [json.dumps(bad), key])
    connection.execute("UPDATE run SET value = $1 WHERE key = 'verdict_reasons'", [json.dumps([bad])])
    connection.execute("UPDATE run SET value = $1 WHERE key = 'suite'", [json.dumps({"id": bad, "version": bad})])
    connection.close()
    write_report(run, tmp_path / "report")
    page = (tmp_path / "report" / "report.md").read_text("utf-8")
    _, elements, tags = shown(page)
    assert not elements & {"a", "img"} and tags <= OWN
    assert not re.search(r"://|www\.", outside_fences(page), re.I)
    assert not re.search(r"@(?!\u200b)|^\s*::", page, re.M)


def test_no_word_of_a_report_json_of_somebody_else_is_live_in_the_summary(document: dict) -> None:
    bad = "<img src=x> [x](https://evil.example) @octocat | `\n::error::www.evil.example"
    named = dict.fromkeys(("id", "status", "severity"), bad) | {"beside": [{bad: [bad]}]}
    rules = [{"rule": {bad: [bad]}, "state": bad, "then": bad, "now": bad, "n": 1, "n_flagged": 1}]
    baseline = dict.fromkeys(("name", "generation", "digest", "by", "expires"), bad)
    sentinel = {"rule": {bad: [bad]}, "beside": [{bad: [bad]}], "runs": [bad], "status": bad, "reason": bad}
    relevant = {"findings": [bad], **dict.fromkeys(("id", "name", "framework", "version", "if"), bad)}
    page = render_markdown(
        document
        | {
            "findings": [each | named for each in document["findings"]],
            "sentinels": [sentinel],
            "baseline": baseline | {"rules": rules, "counts": {bad: 1}, "titles": {bad: bad}},
            "taxonomy": {"version": bad, "relevant": [relevant]},
        }
    )
    text, elements, tags = shown(page)
    assert text.count("octocat") > 20
    assert not elements & {"a", "img"} and tags <= OWN
    assert not re.search(r"://|www\.", outside_fences(page), re.I)
    assert not re.search(r"@(?!\u200b)|^\s*::", page, re.M)


def test_the_first_line_is_a_marker_that_every_run_of_the_suite_shares(document: dict, summary: str) -> None:
    first = summary.splitlines()[0]
    assert re.fullmatch(rf"<!-- {MARKER} [0-9a-f]{{12}} -->", first)
    later = document | {"run": document["run"] | {"run_id": "another"}}
    assert render_markdown(later).splitlines()[0] == first
    other = document | {"run": document["run"] | {"suite": {"id": "--> other", "version": "1"}}}
    assert render_markdown(other).splitlines()[0] != first


def test_a_summary_that_is_too_long_for_a_comment_leaves_out_whole_parts_and_names_them(document: dict) -> None:
    many = [{"what": str(i), "text": "@" * 500} for i in range(200)]
    page = render_markdown(document | {"not_tested": many})
    assert len(page) <= CAP
    assert "Cut to fit 65,000 characters" in page
    assert page.rstrip().endswith("Left out, and in report.html: NOT TESTED.")
    assert "Taxonomies" in page
    whole = render_markdown(document)
    assert "Cut to fit" not in whole and len(whole) <= CAP


def test_the_summary_says_what_differs_when_how_sure_and_what_to_do(document: dict, summary: str) -> None:
    for said in (
        words.ACTIONS["INCONCLUSIVE"].split(":")[0], "year is 2026", "not tested on fresh data", "Decision of a person",
        "- [ ] accept with conditions", "diffbehav replay", "calls delete", "relevant to",
    ):  # fmt: skip
        assert said in summary, said
    assert all(item["text"].split(" ")[0] in summary for item in document["not_tested"])


def test_the_table_has_every_finding_with_numbers_as_numbers_and_no_formula(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", hostile=[])
    bad = '=HYPERLINK("https://evil.example","x")'
    connection = duckdb.connect(str(run / "run.duckdb"))
    connection.execute("UPDATE findings SET severity_reason = $1, rule = $2", [bad, json.dumps({"=1+1": ["@x\r\n=2"]})])
    connection.close()
    write_report(run, tmp_path / "report")
    text = (tmp_path / "report" / "findings.csv").read_bytes().decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ["F001", "F002", "F003", "F004"]
    assert all(row["severity_reason"] == "'" + bad and row["rule"].startswith("'=") for row in rows)
    assert not any(re.match(r"[=+@\t\r]", value) for row in rows for value in row.values())
    assert rows[0]["effect_low"] == "" and float(rows[0]["rate_inside"]) > 0.5
    assert text.count("\r\n") == 5


def test_taxonomies_are_named_with_their_edition_and_only_for_findings_that_hold(document: dict) -> None:
    rows = document["taxonomy"]["relevant"]
    named = {(row["framework"], row["version"], row["id"]): row["findings"] for row in rows}
    every = ["F001", "F002", "F003", "F004"]
    assert named["OWASP Top 10 for LLM Applications", "2025", "LLM04:2025"] == every
    assert named["OWASP Top 10 for LLM Applications", "2026", "LLM05:2026"] == every
    assert named["MITRE ATLAS", "5.6.1", "AML.T0053"] == ["F001"]
    assert not any(identity == "LLM10:2026" for _, _, identity in named)
    assert taxonomy([rule(year=["a"])])["relevant"]
    assert taxonomy([]) == {"version": document["taxonomy"]["version"], "relevant": []}


def test_the_decision_of_a_person_is_empty_until_a_person_fills_it_in(report: Path, document: dict) -> None:
    assert document["disposition"] == {"reviewer": None, "date": None, "decision": None, "reason": None}
    page = (report / "report.html").read_text("utf-8")
    assert page.count("☐") == len(words.DECISIONS)
    assert "☒" not in page
