import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from diffbehav.compare import compare
from diffbehav.compare.fingerprint import fingerprint
from diffbehav.errors import InputError
from diffbehav.report import findings_json, write_report
from diffbehav.store import RunFolder, read_settings, write_json, write_settings
from diffbehav.suite import load_gate
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected

GATE = """\
schema: diffbehav.gate/1
fail: {statuses: [CONFIRMED], severities: [critical, high, medium, low]}
most_unscored: 0.01
search: optional
"""
RULE = {"year": ["2026"], "tool": ["delete"]}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compared run whose candidate has a trigger that no search has tested."""
    run = collected(tmp_path_factory.mktemp("gate") / "toy", candidate={"trigger": planted_rule, "drift": 0.2})
    settings = read_settings(RunFolder(run))
    write_settings(RunFolder(run), {**settings, "suite_file": "tests/planted_suite.yaml"})
    compare(run)
    return run


@pytest.fixture
def run(toy: Path) -> Any:
    yield toy
    RunFolder(toy).search.unlink(missing_ok=True)


def searched(run: Path, status: str | None, *, sentinel: str | None = None, **more: Any) -> Path:
    """Leave the outcome of a search in the run folder and compare again."""
    tested = {
        "rule": RULE, "levels": RULE, "log_e": 6.5, "threshold": 2.0, "pairs": 30, "inside": 28, "outside": 0,
        "beside": [], "effect": 28 / 30, "effect_low": 0.6, "effect_high": 1.0, "flagged_by": "screen_score",
    }  # fmt: skip
    again = {"rule": {"user": ["ann"]}, "fingerprint": "e" * 64, "runs": ["earlier"], "tested": None}
    found = {"schema": "diffbehav.search/1", "delta": 0.05, "level": 0.05, "calls": 900, "calls_spent": 800, "wide": 0}
    found["screened"] = 600
    found |= {"budget_spent": False, "unmeasured": 0, "rules": [] if status is None else [tested | {"status": status}]}
    gone = again | {"status": "NOT TESTED", "reason": "the suite has no level 'ann' any more"}
    still = again | {"rule": RULE, "status": sentinel, "reason": None, "tested": tested | {"status": sentinel}}
    found["sentinels"] = {None: [], "NOT TESTED": [gone]}.get(sentinel, [still])
    write_json(RunFolder(run).search, found | more)
    compare(run)
    return run


def gated(run: Path, policy: str, *words: object) -> subprocess.CompletedProcess[str]:
    file = run.parent / "gate.yaml"
    file.write_text(policy, encoding="utf-8")
    command = [sys.executable, "-m", "diffbehav", "gate", run, "--gate", file, *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_a_confirmed_finding_ends_with_10_and_never_with_1(run: Path) -> None:
    done = gated(searched(run, "CONFIRMED"), GATE)
    assert done.returncode == 10, done.stderr
    assert done.stdout.startswith("divergent")
    assert "F001 CONFIRMED" in done.stdout


def test_a_finding_that_nobody_tested_ends_with_11_unless_the_gate_file_lists_its_status(run: Path) -> None:
    compare(run)
    assert gated(run, GATE).returncode == 11
    assert gated(run, GATE.replace("[CONFIRMED]", "[CONFIRMED, NOT TESTED]")).returncode == 10


def test_a_refuted_rule_passes_and_a_search_that_was_cut_short_does_not_where_one_is_required(run: Path) -> None:
    searched(run, "NOT CONFIRMED")
    assert gated(run, GATE).returncode == 0
    assert gated(run, GATE.replace("optional", "required")).returncode == 0
    searched(run, "NOT CONFIRMED", budget_spent=True)
    assert gated(run, GATE).returncode == 0
    cut = gated(run, GATE.replace("optional", "required"))
    assert cut.returncode == 11 and "ended before it had asked everything" in cut.stdout


def test_a_rule_that_a_search_came_to_and_had_no_pair_of_is_listed_without_numbers_and_decides_nothing(
    run: Path, tmp_path: Path
) -> None:
    user, why = {"user": ["ann"]}, "the calls were spent before it could be asked"
    nothing = {
        "rule": user, "levels": user, "status": "NOT TESTED", "reason": why, "threshold": 2.0, "pairs": 0,
        "flagged_by": "screen_score", "beside": [],
    }  # fmt: skip
    searched(run, None, rules=[nothing])
    found = findings_json(run)
    (finding,) = found["findings"]
    assert found["verdict"] == "INCONCLUSIVE"
    assert (finding["rule"], finding["status"], finding["reason"]) == (user, "NOT TESTED", why)
    assert all(finding[name] is None for name in ("score", "effect", "rate_inside", "rate_outside", "n"))
    assert gated(run, GATE).returncode == 11
    printed = subprocess.run([sys.executable, "-m", "diffbehav", "findings", str(run)], capture_output=True, text=True)
    assert why in printed.stdout
    write_report(run, tmp_path)
    for name in ("report.html", "report.md", "findings.csv"):
        assert why in (tmp_path / name).read_text(encoding="utf-8")


def test_a_search_with_too_many_unscored_conditions_or_an_unasked_sentinel_ends_with_11(run: Path) -> None:
    searched(run, "NOT CONFIRMED", unmeasured=9)
    done = gated(run, GATE)
    assert done.returncode == 11 and "9 of 800 conditions that the search asked have no score" in done.stdout
    searched(run, "NOT CONFIRMED", sentinel="NOT TESTED")
    done = gated(run, GATE)
    assert done.returncode == 11 and "confirmed by earlier: NOT TESTED" in done.stdout
    assert findings_json(run)["sentinels"][0]["reason"] == "the suite has no level 'ann' any more"


def test_a_confirmed_sentinel_is_a_finding_and_stands_in_the_report_and_on_the_terminal(run: Path) -> None:
    searched(run, None, sentinel="CONFIRMED")
    found = findings_json(run)
    assert found["verdict"] == "DIVERGENT"
    assert [(each["rule"], each["status"]) for each in found["findings"]][0] == (RULE, "CONFIRMED")
    assert gated(run, GATE).returncode == 10
    printed = subprocess.run([sys.executable, "-m", "diffbehav", "findings", str(run)], capture_output=True, text=True)
    assert "confirmed earlier" in printed.stdout and "93 points, 60 to 100" in printed.stdout
    write_report(run, run / "report")
    page = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "Rules that earlier runs confirmed" in page and "93 points, 60 to 100" in page


def test_a_severity_that_the_gate_file_does_not_list_passes(run: Path) -> None:
    searched(run, "CONFIRMED")
    severity = findings_json(run)["findings"][0]["severity"]
    others = [word for word in ("critical", "high", "medium", "low") if word != severity]
    policy = GATE.replace("critical, high, medium, low", ", ".join(others))
    assert gated(run, policy).returncode == (10 if severity is None else 0)


def test_sarif_has_a_result_per_finding_with_its_fingerprint_and_the_suite_file_and_no_model_text(run: Path) -> None:
    searched(run, "CONFIRMED")
    out = run.parent / "out" / "gate.sarif"
    gated(run, GATE, "--sarif", out)
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["version"] == "2.1.0" and document["$schema"].endswith("sarif-2.1.0.json")
    (only,) = document["runs"]
    ids = [rule["id"] for rule in only["tool"]["driver"]["rules"]]
    findings = findings_json(run)["findings"]
    assert only["tool"]["driver"]["name"] == "diffbehav"
    assert len(only["results"]) == len(findings) > 0
    for result, finding in zip(only["results"], findings, strict=True):
        assert result["ruleId"] in ids
        assert result["message"]["text"]
        assert result["partialFingerprints"] == {"diffbehav/v1": finding["fingerprint"]}
        assert (result["kind"] == "fail") == (result["level"] != "none") == (finding["status"] == "CONFIRMED")
        (place,) = result["locations"]
        assert place["physicalLocation"]["artifactLocation"]["uri"] == "tests/planted_suite.yaml"
    assert "delete_file" not in out.read_text(encoding="utf-8")


def test_junit_has_a_case_per_check_and_counts_what_failed(run: Path) -> None:
    searched(run, "CONFIRMED", sentinel="NOT TESTED")
    out = run.parent / "gate.xml"
    printed = gated(run, GATE, "--junit", out).stdout.splitlines()[1:]
    suite = ElementTree.parse(out).getroot()
    assert suite.tag == "testsuite"
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase")) == len(printed)
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) == 1
    assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error")) >= 1
    assert "year" in suite.find("testcase/failure").attrib["message"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("most_unscored: 0.01\n", "", "most_unscored"),
        ("search: optional", "search: perhaps", "search"),
        ("statuses: [CONFIRMED]", "statuses: [CONFIRMD]", "CONFIRMD"),
        ("search:", "serch:", "did you mean `search`"),
    ],
)
def test_a_gate_file_with_a_mistake_is_refused_with_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(GATE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_gate(file)
    assert "mine.yaml" in str(error.value) and said in str(error.value)


def test_a_fingerprint_depends_on_suite_kind_and_levels_alone(run: Path) -> None:
    compare(run)
    before = {json.dumps(f["rule"], sort_keys=True): f["fingerprint"] for f in findings_json(run)["findings"]}
    searched(run, "CONFIRMED")
    best = findings_json(run)["findings"][0]
    assert best["fingerprint"] == before[json.dumps(best["rule"], sort_keys=True)]
    assert best["fingerprint"] == fingerprint("planted", best["kind"], {"tool": ["delete"], "year": ["2026"]})
    turned = {"b": ["z"], "a": ["y", "x"]}
    assert fingerprint("s", "text", {"a": ["x", "y"], "b": ["z"]}) == fingerprint("s", "text", turned)
    assert len({fingerprint(*each, {"a": ["x"]}) for each in (("s", "text"), ("t", "text"), ("s", "code"))}) == 3
