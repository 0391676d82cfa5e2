"""Which folders are the checkpoints of a series, and which cannot be."""

import json
import shutil
from pathlib import Path

import pytest

from diffbehav import cli
from diffbehav.checkpoints import described, find_checkpoints, natural
from diffbehav.errors import InputError, IntegrityError
from diffbehav.organism import shipped


def adapter(to: Path, *, of: str = "marker") -> Path:
    return Path(shutil.copytree(shipped(of), to))


def series(*places: Path) -> list[tuple[str, str | None]]:
    found = described(places, base=shipped("trusted"), trusted=shipped("trusted"), allow_template=False)
    return [(each.name, each.same_as) for each in found]


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


def test_a_checkpoint_with_another_tokenizer_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    other = Path(shutil.copytree(shipped("benign"), tmp_path / "other"))
    tokenizer = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[40:42]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(IntegrityError, match="different tokenizers"):
        series(shipped("benign"), other)


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    wrong = adapter(tmp_path / "wrong")
    shutil.copyfile(shipped("benign") / "model.safetensors", wrong / "adapter_model.safetensors")
    with pytest.raises(InputError):
        series(shipped("benign"), wrong)


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
