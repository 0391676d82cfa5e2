import json
from pathlib import Path

import pytest

from diffbehav.report import write_report
from tests.report.synthetic import hostile_texts, make_run

CORPUS = Path(__file__).parent.parent / "data" / "hostile.jsonl"


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    return hostile_texts(CORPUS)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory, corpus: list[str]) -> Path:
    """A run folder in which the candidate attacks whoever reads it."""
    return make_run(tmp_path_factory.mktemp("hostile"), hostile=corpus)


@pytest.fixture(scope="session")
def report(hostile_run: Path) -> Path:
    """The report folder of the hostile run."""
    write_report(hostile_run, hostile_run / "report")
    return hostile_run / "report"


@pytest.fixture(scope="session")
def document(report: Path) -> dict:
    return json.loads((report / "report.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def page(report: Path) -> str:
    return (report / "report.html").read_text("utf-8")
