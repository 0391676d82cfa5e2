"""Which folders are the checkpoints of a series, and which cannot be."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from diffbehav import cli
from diffbehav.checkpoints import described, find_checkpoints, natural
from diffbehav.errors import InputError, IntegrityError
from diffbehav.intake import read_model
from diffbehav.organism import shipped
from diffbehav.suite import load_suite
from tests.collect.toy_run import SUITE, planted_rule
from tests.planted import ToyEngine
from tests.serve.chaos_server import TOP_K, Chaos, serving


def adapter(to: Path, *, of: str = "marker") -> Path:
    return Path(shutil.copytree(shipped(of), to))


def series(*places: Path) -> list[tuple[str, str | None]]:
    found = described(places, base=shipped("trusted"), reference=read_model(shipped("trusted")), allow_template=False)
    return [(each.name, each.same_as) for each in found]


def invalid(*places: Path) -> dict[str, str | None]:
    """Name of a checkpoint -> why it cannot be compared."""
    found = described(places, base=shipped("trusted"), reference=read_model(shipped("trusted")), allow_template=False)
    assert all((each.digest is None) == (each.invalid is not None) for each in found)
    return {each.name: None if each.invalid is None else each.invalid.reason for each in found}


def test_the_checkpoints_of_one_folder_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("checkpoint-1000", "checkpoint-200", "checkpoint-50", "runs"):
        (tmp_path / name).mkdir()
        if name != "runs":
            (tmp_path / name / "adapter_config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "trainer_state.json").write_text("{}", encoding="utf-8")
    found = find_checkpoints([tmp_path])
    assert [path.name for path in found] == ["checkpoint-50", "checkpoint-200", "checkpoint-1000"]


def test_several_folders_keep_the_order_they_are_named_in(tmp_path: Path) -> None:
    places = [adapter(tmp_path / name) for name in ("last", "first")]
    assert find_checkpoints(places) == places


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["step_10_b", "step_9_a", "step_10_a"], ["step_9_a", "step_10_a", "step_10_b"]),
        (["2", "10", "final"], ["final", "2", "10"]),
        (["ckpt", "ckpt-1"], ["ckpt", "ckpt-1"]),
    ],
)
def test_names_are_sorted_by_their_numbers(names: list[str], order: list[str]) -> None:
    assert sorted(names, key=natural) == order


def test_a_folder_that_is_missing_or_holds_no_model_is_an_input_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        find_checkpoints([shipped("trusted"), tmp_path / "nowhere"])
    with pytest.raises(InputError, match=r"neither a model .* nor an adapter"):
        find_checkpoints([shipped("trusted"), tmp_path])
    with pytest.raises(InputError, match="one checkpoint is no series"):
        series(shipped("benign"))


def test_equal_files_are_marked_and_equal_names_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    places = [adapter(tmp_path / run / "final") for run in ("a", "b")]
    places.append(adapter(tmp_path / "c", of="guest"))
    assert series(*places) == [("a-final", None), ("b-final", "a-final"), ("c", None)]
    with pytest.raises(InputError, match="'a-final'"):
        series(places[0], places[0])


def test_a_checkpoint_with_another_tokenizer_is_invalid_before_anything_is_asked(tmp_path: Path) -> None:
    other = Path(shutil.copytree(shipped("benign"), tmp_path / "other"))
    tokenizer = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[40:42]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    found = invalid(shipped("benign"), other)
    assert found["benign"] is None and "different tokenizers" in str(found["other"])


def test_an_adapter_of_another_base_and_unreadable_weights_are_invalid(tmp_path: Path) -> None:
    wrong = adapter(tmp_path / "wrong")
    shutil.copyfile(shipped("benign") / "model.safetensors", wrong / "adapter_model.safetensors")
    cut = Path(shutil.copytree(shipped("benign"), tmp_path / "cut"))
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    found = invalid(shipped("benign"), wrong, cut)
    assert found["benign"] is None and "wrong" in str(found["wrong"]) and "model.safetensors" in str(found["cut"])
    with pytest.raises(IntegrityError, match=r"no checkpoint can be compared:\n  wrong: .*\n  cut: "):
        invalid(wrong, cut)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["diffbehav", "checkpoints", "agent_context", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_the_command_ends_with_2_for_a_missing_folder_and_for_a_replayed_trusted_side_and_asks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    terms = ["--out", tmp_path / "out", "--delta", 0.05, "--fdr", 0.05]
    assert run(monkeypatch, shipped("benign"), tmp_path / "gone", "--trusted", shipped("trusted"), *terms) == 2
    assert "gone: no such folder" in capsys.readouterr().err
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / "run.json").write_text("{}", encoding="utf-8")
    assert run(monkeypatch, shipped("benign"), shipped("temporal"), "--trusted", earlier, *terms) == 2
    assert "the live trusted model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_checkpoints_that_a_server_has_are_compared_and_one_that_it_lacks_is_invalid_and_ends_with_21(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calm = partial(ToyEngine, drift=0.1)
    models = {"base": ToyEngine, "step/1": calm, "step/2": partial(ToyEngine, drift=0.1, trigger=planted_rule)}
    with serving(Chaos(load_suite(SUITE), shipped("trusted"), models)) as server:
        monkeypatch.setattr("sys.argv", [
            "diffbehav", "checkpoints", str(SUITE), *(f"{server.url}#{name}" for name in ("step/1", "gone", "step/2")),
            "--candidate-files", str(shipped("trusted")), "--trusted", f"{server.url}#base", "--trusted-files",
            str(shipped("trusted")), "--out", str(tmp_path), "--limit", "120", "--top-k", str(TOP_K), "--calls", "60",
            "--delta", "0.05", "--fdr", "0.05", "--format", "json", "--quiet",
        ])  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == 21
    found = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["invalid"] is None) for each in found["checkpoints"]] == [
        ("step-1", True), ("gone", False), ("step-2", True)
    ]  # fmt: skip
    assert "gone" in found["checkpoints"][1]["invalid"]["reason"]
    assert found["checkpoints"][2]["endpoint"] == f"{server.url}#step/2"
    assert (tmp_path / "step-2" / "report" / "SHA256SUMS").is_file()
