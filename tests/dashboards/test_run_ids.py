"""Which run an address names."""

import itertools
from pathlib import Path

from dashboards.runs import opened, run_databases
from diffbehav.report.query import read_facts
from tests.report.synthetic import make_run


def placed(folder: Path, *places: str) -> dict[str, str]:
    """Run id -> place of the run below `folder`."""
    for place in places:
        path = folder / place / "run.duckdb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return {name: str(path.parent.relative_to(folder)) for name, path in run_databases(folder).items()}


def test_ordinary_runs_go_by_the_parts_of_their_path_and_a_run_alone_by_its_name(tmp_path: Path) -> None:
    assert placed(tmp_path / "runs", "a", "nights/2026-11-01") == {"a": "a", "nights~2026-11-01": "nights/2026-11-01"}
    assert placed(tmp_path / "alone", ".") == {"alone": "."}


def test_every_run_has_an_id_of_its_own_whatever_its_folders_are_called(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    names = ["a", "a~", "~a", "~", "!", "!-", "a!", "!a", "-", "a,b", "!."]
    places = [*names, *("/".join(pair) for pair in itertools.product(names, names)), ".", "runs", "~runs"]
    found = placed(folder, *places)
    assert sorted(found.values()) == sorted(places)
    assert not any("," in name or "/" in name for name in found)


def test_a_page_of_one_run_is_never_that_of_another(tmp_path: Path) -> None:
    verdicts = {"a/b": "DIVERGENT", "a~b": "INCONCLUSIVE"}
    for place, verdict in verdicts.items():
        make_run(tmp_path / place, hostile=[], verdict=verdict)
    said = {}
    for name in run_databases(tmp_path):
        with opened(tmp_path, name) as run:
            said[str(run.folder.relative_to(tmp_path))] = read_facts(run.query, run.folder)["verdict"]
    assert said == verdicts
