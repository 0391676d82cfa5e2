"""What compare makes of a search that did not see, or could not ask, everything."""

from collections.abc import Mapping
from pathlib import Path

from diffbehav.compare import compare
from diffbehav.report import findings_json
from diffbehav.report.query import querying, read_facts
from diffbehav.serve import Engines
from diffbehav.store import RunFolder
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected
from tests.planted import Levels, ToyEngine
from tests.toy_search import search_toys


def alike(levels: Mapping[str, Levels]) -> Engines:
    return Engines(ToyEngine(levels), ToyEngine(levels))


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
