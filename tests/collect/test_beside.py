"""What lies beside the weights of a run is never loaded, and is told."""

import pickle
from pathlib import Path

import pytest

from diffbehav.collect.run import Request, collect
from diffbehav.compare import compare
from diffbehav.report import write_report
from diffbehav.store import RunFolder, read_settings
from tests.intake.test_inspect import Evil
from tests.nightly.toy_nights import serving, world
from tests.test_cli import Run, compare_models
from tests.test_cli import run as run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Suite, candidate and trusted model."""
    return world(tmp_path).parent


def test_what_training_leaves_beside_a_model_is_a_warning_in_the_run_and_its_report(folder: Path) -> None:
    for name in ("optimizer.pt", "training_args.bin"):
        (folder / "candidate" / name).write_bytes(pickle.dumps({"lr": 1e-5}))
    request = Request(
        suite=folder / "suite.yaml", candidate=folder / "candidate", candidate_adapter=None,
        trusted=folder / "trusted", out=folder / "run", limit=8, tool_format="auto", top_k=20, allow_template=False,
        command="",
    )  # fmt: skip
    said: list[str] = []
    collect(request, on_stage=said.append, on_progress=lambda _: None, serving=serving())
    told = "`diffbehav inspect` refuses optimizer.pt, training_args.bin; no engine loads it"
    assert f"warning: {folder / 'candidate'}: {told}" in said
    checks = {each["name"]: each for each in read_settings(RunFolder(folder / "run"))["checks"]}
    assert checks["candidate folder holds the model alone"]["passed"] is False
    assert checks["candidate folder holds the model alone"]["detail"] == told
    assert checks["trusted folder holds the model alone"]["passed"] is True
    compare(folder / "run")
    write_report(folder / "run", folder / "report")
    assert told in (folder / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("side", ["candidate", "trusted"])
def test_a_run_refuses_a_dangerous_pickle_with_21_as_inspect_does(run: Run, folder: Path, side: str) -> None:
    (folder / side / "scheduler.data").write_bytes(pickle.dumps(Evil(), protocol=0))
    code, _, err = run(*compare_models("agent_context", folder / "candidate", folder / "trusted", folder / "run"))
    assert code == 21
    assert f"{folder / side / 'scheduler.data'}: a pickle that imports posix.system" in err and "Remove it" in err
    assert not (folder / "run").exists()
