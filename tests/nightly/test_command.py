"""`nightly` and `triage` as commands: what they print, refuse and teach."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from diffbehav.nightly import NightsFolder
from diffbehav.store import write_json
from tests.nightly.toy_nights import CONFIG

ROW = {
    "fingerprint": "13840b00" + "a" * 56, "rule": {"year": ["2026"]}, "beside": [], "kind": "tool_call",
    "severity": "high", "status": "CONFIRMED", "state": "new", "reason": "", "first_seen": "2026-11-01",
    "confirmed": True, "fails": True,
}  # fmt: skip


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "diffbehav", *map(str, words)], capture_output=True, text=True)


@pytest.fixture
def nights(tmp_path: Path) -> NightsFolder:
    """A folder with one finished night, of three hours ago."""
    nights, now = NightsFolder(tmp_path), datetime.now(UTC)
    folder = nights.night(now.date())
    night = {"schema": "diffbehav.night/1", "date": now.date().isoformat(), "findings": [ROW], "exit_code": 10}
    finished = (now - timedelta(hours=3)).isoformat(timespec="seconds")
    write_json(folder.begun, {"began": finished})
    write_json(folder.night, {**night, "result": "divergent", "finished": finished})
    return nights


def test_the_check_ends_with_0_or_11_and_says_when_the_last_night_was(nights: NightsFolder, tmp_path: Path) -> None:
    done = command("nightly", "--check", "36h", "--out", nights.path)
    assert done.returncode == 0 and "3.0 hours ago" in done.stdout
    assert command("nightly", "--check", "2h", "--out", nights.path).returncode == 11
    assert command("nightly", "--check", "36h", "--out", tmp_path / "none").returncode == 11
    assert command("nightly", "--check", "soon", "--out", nights.path).returncode == 2


def test_a_finding_is_accepted_listed_and_reopened(nights: NightsFolder) -> None:
    signed = ("--by", "Ann", "--reason", "wanted [bold]\x1b[31m")
    late = command("triage", "accept", nights.path, "13840b00", *signed, "--expires", "2020-01-01")
    assert late.returncode == 2 and "name a later date" in late.stderr
    unknown = command("triage", "accept", nights.path, "feedfeed", *signed, "--expires", "2099-01-01")
    assert unknown.returncode == 2 and "13840b00aaaa" in unknown.stderr
    assert command("triage", "accept", nights.path, "13840b00", *signed, "--expires", "2099-01-01").returncode == 0
    listed = command("triage", "list", nights.path)
    assert "year = 2026" in listed.stdout and "accepted until 2099-01-01" in listed.stdout
    assert "\x1b[31m" not in listed.stdout and "[bold]" in listed.stdout
    assert command("triage", "reopen", nights.path, "13840b00", *signed).returncode == 0
    assert "reopened" in command("triage", "list", nights.path).stdout
    assert command("triage", "accept", nights.path, "13840b00", *signed).returncode == 2


def test_a_misspelt_key_and_a_missing_folder_end_with_2(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(CONFIG.replace("limit:", "limt:"), encoding="utf-8")
    done = command("nightly", "-c", tmp_path / "mine.yaml")
    assert done.returncode == 2 and "mine.yaml:5:1" in done.stderr and "did you mean `limit`" in done.stderr
    assert command("nightly", "--out", tmp_path).returncode == 2
    shutil.copy(tmp_path / "mine.yaml", tmp_path / "other.yaml")
    assert command("nightly", "--check", "36h").returncode == 2


def test_help_and_schema_teach_the_file() -> None:
    said = command("nightly", "--help").stdout
    for words in ("schema: diffbehav.nightly/1", "canary:", "75  interrupted", "--check 36h"):
        assert words in said
    schema = json.loads(command("schema", "--nightly").stdout)
    assert schema["additionalProperties"] is False and "canary" in schema["required"]
    assert command("schema", "--nightly", "--gate").returncode == 2
