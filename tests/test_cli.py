import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from diffbehav import cli
from diffbehav.intake import read_model
from diffbehav.organism import shipped
from diffbehav.suite import shipped as shipped_suite

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in this process: exit code, stdout, stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["diffbehav", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call


def compare_models(suite: Path | str, candidate: Path, trusted: Path, out: Path) -> list[object]:
    return ["run", suite, "--candidate", candidate, "--trusted", trusted, "--out", out]


def suite_text() -> str:
    return shipped_suite("agent_context").read_text(encoding="utf-8")


def copy_of(name: str, to: Path) -> Path:
    return Path(shutil.copytree(shipped(name), to))


def test_the_help_of_every_command_says_what_it_does(run: Run) -> None:
    commands = ("demo", "inspect", "plan", "run", "compare", "search", "canaries", "findings", "report", "runs",
                "organism", "schema", "doctor")  # fmt: skip
    for command in commands:
        code, out, _ = run(command, "--help")
        assert code == 0
        assert len(out.splitlines()) > 4, command
    code, out, _ = run("--help")
    assert "Exit codes" in out and "75" in out


def test_a_missing_model_folder_ends_with_2_and_names_it(run: Run, tmp_path: Path) -> None:
    code, _, err = run(*compare_models("agent_context", tmp_path / "nowhere", shipped("trusted"), tmp_path / "run"))
    assert code == 2
    assert "nowhere" in err and "no such folder" in err


def test_a_folder_with_pickled_weights_only_is_refused_with_2(run: Run, tmp_path: Path) -> None:
    folder = copy_of("trusted", tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    code, _, err = run(*compare_models("agent_context", folder, shipped("trusted"), tmp_path / "run"))
    assert code == 2
    assert "pickled weights" in err


def test_models_with_different_tokenizers_end_with_21_and_the_first_difference(run: Run, tmp_path: Path) -> None:
    folder = copy_of("trusted", tmp_path / "other")
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    first, second = list(vocabulary)[40:42]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    code, _, err = run(*compare_models("agent_context", folder, shipped("trusted"), tmp_path / "run"))
    assert code == 21
    assert "different tokenizers" in err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("replicate:", "replicat:", "did you mean `replicate`"),
        ("locale: [en-GB, de-DE, ja-JP, pt-BR]", "locale: []", "factors.locale"),
        ("{{ locale }}", "{{ lcale }}", "lcale"),
    ],
)
def test_a_suite_with_a_mistake_ends_with_2_and_names_file_line_and_remedy(
    run: Run, tmp_path: Path, old: str, new: str, said: str
) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(suite_text().replace(old, new, 1), encoding="utf-8")
    line = suite.read_text(encoding="utf-8").split(new, 1)[0].count("\n") + 1
    code, _, err = run(*compare_models(suite, shipped("temporal"), shipped("trusted"), tmp_path / "run"))
    assert code == 2
    assert said in err
    assert f"mine.yaml:{line}" in err
    assert not (tmp_path / "run").exists()


def test_prompts_longer_than_the_context_end_with_2_before_anything_is_served(run: Run, tmp_path: Path) -> None:
    suite = tmp_path / "long.yaml"
    suite.write_text(suite_text().replace("max_tokens: 128", "max_tokens: 2000", 1), encoding="utf-8")
    code, _, err = run(*compare_models(suite, shipped("temporal"), shipped("trusted"), tmp_path / "run"))
    assert code == 2
    assert "do not fit" in err and "context of 2048" in err


def test_a_run_folder_of_another_suite_ends_with_21_and_the_differing_keys(run: Run, tmp_path: Path) -> None:
    suite, longer = tmp_path / "first.yaml", tmp_path / "second.yaml"
    suite.write_text(suite_text().replace("max_tokens: 128", "max_tokens: 2000", 1), encoding="utf-8")
    longer.write_text(suite_text().replace("max_tokens: 128", "max_tokens: 1999", 1), encoding="utf-8")
    run(*compare_models(suite, shipped("temporal"), shipped("trusted"), tmp_path / "run"))
    code, _, err = run(*compare_models(longer, shipped("temporal"), shipped("trusted"), tmp_path / "run"))
    assert code == 21
    assert "sampling.max_tokens: 2000 in the folder, 1999 now" in err


@pytest.mark.parametrize("command", ["compare", "findings", "report"])
def test_a_folder_that_is_no_run_ends_with_2(run: Run, tmp_path: Path, command: str) -> None:
    code, _, err = run(command, tmp_path)
    assert code == 2
    assert str(tmp_path) in err


@pytest.mark.parametrize("words", [["compare"], ["findings", ".", "--format", "xml"], ["nonsense"]])
def test_wrong_usage_ends_with_2(run: Run, words: list[str]) -> None:
    assert run(*words)[0] == 2


def test_an_internal_error_ends_with_70_and_never_with_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffbehav.suite.json_schema", lambda: 1 / 0)
    code, _, err = run("schema")
    assert code == 70
    assert "ZeroDivisionError" in err


def test_the_schema_is_a_json_schema_that_describes_every_field(run: Run) -> None:
    code, out, _ = run("schema")
    assert code == 0
    schema = json.loads(out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert all("description" in field for field in schema["properties"].values())


def test_a_plan_of_a_shipped_suite_needs_no_model_and_says_what_does(run: Run) -> None:
    code, out, _ = run("plan", "agent_context", "--format", "json")
    assert code == 0
    plan = json.loads(out)
    assert plan["conditions"] == plan["calls"]["collect"]["candidate"] == 2400
    assert plan["measured"] is None and plan["remarks"] == []
    code, out, _ = run("plan", "agent_context", "--limit", "20")
    assert code == 0
    assert "conditions           20" in out and "17 levels of `task` are in no condition: raise --limit" in out
    assert "0 % of the" in out and "depend on the models" in out


def test_a_plan_with_one_model_only_is_wrong_usage(run: Run) -> None:
    assert run("plan", "agent_context", "--candidate", shipped("temporal"))[0] == 2
    assert run("plan", "agent_context", "--candidate-adapter", shipped("marker"))[0] == 2


def test_a_plan_of_a_design_that_the_exclusions_make_impossible_ends_with_2_and_the_remedy(
    run: Run, tmp_path: Path
) -> None:
    suite = tmp_path / "mine.yaml"
    locales = "exclude: [{locale: [en-GB, de-DE, ja-JP, pt-BR]}]\n"
    suite.write_text(locales + suite_text(), encoding="utf-8")
    code, _, err = run("plan", suite)
    assert code == 2
    assert "the grid has 0 after exclusions" in err and "fix:" in err


def test_a_ledger_and_a_replayed_run_together_are_refused_with_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    stored = {"sides": {"trusted": {"digest": "t", "tokenizer": "x", "template": "y"}}, "run_id": "old"}
    model = read_model(shipped("trusted"))
    stored["sides"]["trusted"] |= {"tokenizer": model.tokenizer_digest, "template": model.template_digest}
    (tmp_path / "old" / "run.json").write_text(json.dumps(stored), encoding="utf-8")
    words = compare_models("agent_context", shipped("temporal"), tmp_path / "old", tmp_path / "run")
    code, _, err = run(*words, "--ledger", tmp_path / "ledger")
    assert code == 2
    assert "no answers to those" in err
    assert not (tmp_path / "run").exists() and not (tmp_path / "ledger").exists()


def test_a_command_whose_reader_closed_the_pipe_ends_with_141_and_says_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "diffbehav", "schema"], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_another_pipe_that_breaks_is_an_internal_error_that_is_told(tmp_path: Path) -> None:
    program = (
        "import diffbehav.suite\n"
        "def broken(): raise BrokenPipeError\n"
        "diffbehav.suite.json_schema = broken\n"
        "from diffbehav.cli import main\n"
        "main()\n"
    )
    words = [sys.executable, "-c", program, "schema"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 70
    assert "a pipe to another process was closed" in done.stderr
