import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_holds_suites_baselines_dashboards_and_the_trained_models(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for folder in ("_suites/", "_baselines/", "_dashboards/", "organism/models/trusted/", "store/schema.sql",
                   "_baselines/agent_context/baseline.json"):
        assert any(name.startswith(f"diffbehav/{folder}") for name in names), folder
    assert not [name for name in names if name.startswith("tests/")]


def test_the_wheel_alone_finds_its_suites_and_models(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "from diffbehav.suite import load_suite, shipped; from diffbehav.organism import shipped as model; "
        "import diffbehav as d; print(d.__file__, load_suite(shipped('agent_context')).id, model('trusted').is_dir())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env={"PYTHONPATH": "."}
    )
    assert done.stdout.split()[1:] == ["agent_context", "True"]
    assert done.stdout.startswith(str(tmp_path))


def test_reading_a_run_needs_neither_vllm_nor_torch_nor_transformers() -> None:
    code = (
        "import sys, diffbehav.cli, diffbehav.compare, diffbehav.report, diffbehav.suite; "
        "print([name for name in ('vllm', 'torch', 'transformers', 'plotly') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['plotly']")
