"""What compare makes of a search that did not see, or could not ask, everything."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from diffbehav.compare import compare
from diffbehav.compare.searched import read_search
from diffbehav.report import findings_json
from diffbehav.report.query import querying, read_facts
from diffbehav.search.confirm import NO_CALLS
from diffbehav.search.oracle import BudgetSpent, Oracle
from diffbehav.search.outcome import outcome_json
from diffbehav.search.search import search
from diffbehav.serve import Engines
from diffbehav.store import RunFolder, write_json
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected
from tests.planted import Levels, ToyEngine
from tests.search.test_search import PROMISE, SPACE, rule
from tests.search.toy_world import ToyWorld
from tests.toy_search import search_toys


def alike(levels: Mapping[str, Levels]) -> Engines:
    return Engines(ToyEngine(levels), ToyEngine(levels))


def test_a_rule_whose_calls_were_spent_before_its_first_pair_is_not_tested_and_says_so(tmp_path: Path) -> None:
    world, begun = ToyWorld(SPACE, 1, rule(year=7), 0.9), False

    def on_step(step: str, _: Oracle) -> None:
        nonlocal begun
        begun |= step.startswith("confirm")

    async def ask(digits_NA: np.ndarray) -> np.ndarray:
        if begun:
            raise BudgetSpent
        return await world.ask(digits_NA)

    outcome = asyncio.run(
        search(world.screen(1), SPACE, ask, calls=4000, promise=PROMISE, seed=1, on_step=on_step)
    )
    found = outcome_json(outcome, SPACE, promise=PROMISE, seed=1, calls=4000, sentinels=[], screened=2280)
    write_json(RunFolder(tmp_path).search, found)
    back = read_search(RunFolder(tmp_path), interval_level=0.95)
    assert back is not None and not back.tested and not back.exhausted
    assert [(each.levels, each.reason) for each in back.untested] == [({"year": ["year7"]}, NO_CALLS)]


def reasons(run: Path) -> list[str]:
    database = RunFolder(run).database
    with querying(database) as query:
        return list(read_facts(query, database)["verdict_reasons"])


def test_a_search_of_a_run_that_was_collected_further_since_silences_nothing(tmp_path: Path) -> None:
    run = collected(tmp_path / "run", candidate={})
    for part in [*run.rglob("part-000003.parquet"), *run.rglob("part-000004.parquet")]:
        part.unlink()
    compare(run)
    search_toys(run, alike, calls=3000)
    assert findings_json(run)["verdict"] == "INVALID"
    collected(run, candidate={"trigger": planted_rule})
    compare(run)
    found = findings_json(run)
    assert found["verdict"] == "INCONCLUSIVE"
    assert ({"tool": ["delete"], "year": ["2026"]}, "NOT TESTED") in [
        (each["rule"], each["status"]) for each in found["findings"]
    ]
    assert any("the search saw 384 of 600 conditions" in reason for reason in reasons(run))
    search_toys(run, alike, calls=3000)
    assert not any("the search saw" in reason for reason in reasons(run))
