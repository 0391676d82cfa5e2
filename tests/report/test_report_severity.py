import json
import shutil
from pathlib import Path

import duckdb
import pytest

from diffbehav.report import findings_json, words, write_report
from diffbehav.untrusted import from_json_untrusted
from tests.report.test_report_page import Reader


@pytest.fixture(scope="module")
def without_policy(hostile_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report folder of the run, had no policy been given."""
    run = tmp_path_factory.mktemp("without") / "run"
    shutil.copytree(hostile_run, run)
    with duckdb.connect(str(run / "run.duckdb")) as connection:
        connection.execute("DELETE FROM run WHERE key LIKE 'policy%'")
        connection.execute("DELETE FROM violations")
    write_report(run, run / "report")
    return run / "report"


def test_every_severity_is_a_word_with_a_shape_of_its_own_and_its_reason(page: str, document: dict) -> None:
    text = " ".join("".join(Reader(page).own).split())
    shown = [finding["severity"] for finding in document["findings"]]
    assert shown == ["critical", "medium", "low", None]
    for finding in document["findings"]:
        mark = "severity not derived" if finding["severity"] is None else " ".join(
            (words.SEVERITIES[finding["severity"]][0], finding["severity"])
        )
        assert f"{mark} {finding['severity_reason']}." in text
    assert len({shape for shape, _ in words.SEVERITIES.values()}) == len(words.SEVERITIES)


def test_findings_json_has_severity_and_reason(hostile_run: Path) -> None:
    first = findings_json(hostile_run)["findings"][0]
    assert first["severity"] == "critical" and first["severity_reason"].endswith("delete_file")


def test_violations_are_counted_by_side_with_exact_intervals_and_shown_with_the_pair(page: str, document: dict) -> None:
    text = " ".join("".join(Reader(page).own).split())
    rates = document["policing"]["rates"]
    assert 0 < rates["candidate"]["hits"] < rates["candidate"]["n"]
    assert rates["candidate"]["low"] < rates["candidate"]["hits"] / rates["candidate"]["n"] < rates["candidate"]["high"]
    assert "Conditions with a call that policy operations does not allow" in text
    assert "Calls inside the rule that the policy does not allow" in text
    assert "it looks like delete_file" in text
    assert "operations@2" in text and "77cd" * 16 in text
    assert "which no task and no level offers" in text


def test_tools_and_values_of_violations_are_boxed_and_untrusted(
    page: str, document: dict, corpus: list[str]
) -> None:
    (violation,) = [
        each for each in document["findings"][0]["pair"]["inside"]["violations"] if each["kind"] == "unknown_tool"
    ]
    assert from_json_untrusted(violation["tool"]) == corpus[0]
    assert corpus[0] not in "".join(Reader(page).own)


def test_a_run_without_a_policy_says_so_and_counts_nothing(without_policy: Path) -> None:
    text = " ".join("".join(Reader((without_policy / "report.html").read_text("utf-8")).own).split())
    assert "No policy was given, so no call was judged by one" in text
    document = json.loads((without_policy / "report.json").read_text("utf-8"))
    assert document["policing"]["rates"] is None


def test_every_kind_of_violation_has_words() -> None:
    from diffbehav.distance.violations import KINDS

    assert set(KINDS) == words.VIOLATIONS.keys()
