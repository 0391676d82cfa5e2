"""Which files a report has, all of them from report.json alone, and the sums beside them."""

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from diffbehav.cli.findings import FORMATS
from diffbehav.cli.findings import USUAL as NAMED_AS_USUAL
from diffbehav.errors import InputError, IntegrityError
from diffbehav.report import FILES, SUMS, USUAL, read_sums, render_report, write_report
from tests.test_cli import run as run  # noqa: PLC0414


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_command_offers_what_is_written_and_writes_what_is_named(run, hostile_run: Path, tmp_path: Path) -> None:
    assert tuple(FILES) == FORMATS and USUAL == NAMED_AS_USUAL
    code, out, _ = run("report", hostile_run, "-o", tmp_path / "two", "-f", "md", "--format", "csv")
    assert code == 0 and out.split() == [str(tmp_path / "two" / name) for name in ("report.md", "findings.csv")]
    assert names(tmp_path / "two") == {"report.md", "findings.csv", SUMS}
    assert run("report", hostile_run, "-o", tmp_path / "all")[0] == 0
    assert names(tmp_path / "all") == {FILES[name] for name in USUAL} | {SUMS}
    assert run("report", hostile_run, "--from", "x.json")[0] == run("report")[0] == 2


def test_everything_is_rendered_again_from_report_json_without_its_run(
    run, hostile_run: Path, tmp_path: Path
) -> None:
    formats = [name for name in FORMATS if name != "pdf"]
    written = write_report(hostile_run, tmp_path / "first", formats)
    (tmp_path / "alone").mkdir()
    source = shutil.copy(tmp_path / "first" / "report.json", tmp_path / "alone" / "sent.json")
    words = [word for name in formats for word in ("-f", name)]
    code, _, err = run("report", "--from", source, "-o", tmp_path / "second", *words)
    assert code == 0, err
    assert {path.name for path in written} == names(tmp_path / "second") - {SUMS}
    for path in [*written, tmp_path / "first" / SUMS]:
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "diffbehav.report/1"}', "[" * 100_000, "\udcff"])
def test_what_is_no_report_json_is_refused_with_2_and_writes_nothing(run, tmp_path: Path, content: str) -> None:
    (tmp_path / "odd.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    code, _, err = run("report", "--from", tmp_path / "odd.json", "-o", tmp_path / "out")
    assert code == 2 and "odd.json" in err
    assert not (tmp_path / "out").exists()


def test_without_a_gate_file_verdict_and_statuses_decide_what_junit_and_sarif_say(
    hostile_run: Path, tmp_path: Path
) -> None:
    junit, sarif, source = write_report(hostile_run, tmp_path, ["junit", "sarif", "json"])
    document = json.loads(source.read_text(encoding="utf-8"))
    document["findings"][0]["status"] = "CONFIRMED"
    document["findings"][1]["status"] = "NOT CONFIRMED"
    source.write_text(json.dumps(document), encoding="utf-8")
    render_report(source, tmp_path, ["junit", "sarif"])
    suite = ElementTree.parse(junit).getroot()
    cases = {case.attrib["name"]: [each.tag for each in case] for case in suite.findall("testcase")}
    prints = [each["fingerprint"] for each in document["findings"]]
    assert [cases[name] for name in ("run", *prints[:3])] == [["error"], ["failure"], ["system-out"], ["error"]]
    results = json.loads(sarif.read_text(encoding="utf-8"))["runs"][0]["results"]
    assert [each["kind"] for each in results[:3]] == ["fail", "pass", "open"]


@pytest.mark.parametrize("name", ["junit", "sarif"])
def test_what_the_gate_of_a_night_wrote_is_not_replaced_by_what_no_gate_judged(
    run, hostile_run: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "night.md").write_text("a night", encoding="utf-8")
    (tmp_path / FILES[name]).write_text("gated", encoding="utf-8")
    code, _, err = run("report", hostile_run, "-o", tmp_path, "-f", name, "-f", "json")
    assert code == 2 and FILES[name] in err and "--out" in err
    write_report(hostile_run, tmp_path)
    with pytest.raises(InputError, match="of a night"):
        render_report(tmp_path / "report.json", tmp_path, [name])
    assert (tmp_path / FILES[name]).read_text(encoding="utf-8") == "gated"
    assert run("report", hostile_run, "-o", tmp_path / "else", "-f", name)[0] == 0


def test_sha256sum_agrees_with_the_sums_and_names_a_file_that_was_changed(hostile_run: Path, tmp_path: Path) -> None:
    write_report(hostile_run, tmp_path)
    check = ["sha256sum", "--strict", "-c", SUMS]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "report.md").write_text("fine", encoding="utf-8")
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "report.md: FAILED" in done.stdout
    assert read_sums(tmp_path / SUMS).keys() == {FILES[name] for name in USUAL}


@pytest.mark.parametrize("odd", ["../report.md", "/etc/passwd", "a/b", ".hidden", ""])
def test_sums_that_name_anything_but_a_file_beside_them_are_refused(tmp_path: Path, odd: str) -> None:
    (tmp_path / SUMS).write_text(f"{'0' * 64}  report.md\n{'0' * 64}  {odd}\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match=f"{SUMS}:2: "):
        read_sums(tmp_path / SUMS)
