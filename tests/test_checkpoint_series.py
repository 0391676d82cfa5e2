"""Series of scripted checkpoints, with a trigger that comes and goes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from diffbehav.errors import DiffbehavError, InfrastructureError, IntegrityError, Interrupted
from diffbehav.report.checkpoints import checkpoints
from diffbehav.report.checkpoints_markdown import render_checkpoints
from diffbehav.store import RunFolder, read_parquet
from tests.planted import Levels
from tests.toy_series import SETTINGS, ToySeries

CALM = {"drift": 0.2, "ending": 5.0}
RULE = {"year": ["2026"]}


def rows(folder: Path, *columns: str) -> list[tuple[Any, ...]]:
    """Of all parts in a folder."""
    return [row for part in sorted(folder.glob("part-*.parquet")) for row in read_parquet(part).select(columns).rows()]


def in_2026(levels: Levels) -> bool:
    return levels["year"] == "2026"


def in_2025_with_delete(levels: Levels) -> bool:
    return levels["year"] == "2025" and levels["tool"] == "delete"


FIVE = {
    "step-1": CALM | {"drift": 0.1},
    "step-2": CALM,
    "step-3": CALM | {"trigger": in_2026},
    "step-4": CALM | {"trigger": in_2026, "drift": 0.4},
    "step-5": CALM | {"drift": 0.6},
}


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> ToySeries:
    """Compared once; the trigger is there at the third and the fourth of five checkpoints."""
    series = ToySeries(tmp_path_factory.mktemp("series") / "five", FIVE)
    series.compared()
    return series


@pytest.fixture
def found(five: ToySeries) -> dict[str, Any]:
    return dict(json.loads((five.out / "checkpoints.json").read_text(encoding="utf-8")))


def test_a_trigger_that_is_there_at_two_of_five_checkpoints_appears_and_vanishes_exactly_there(
    found: dict[str, Any],
) -> None:
    (rule,) = found["rules"]
    assert rule["rule"] == RULE
    assert [cell["status"] for cell in rule["cells"]] == [*["NOT CONFIRMED"] * 2, *["CONFIRMED"] * 2, "NOT CONFIRMED"]
    assert (rule["first_confirmed"], rule["last_confirmed"]) == ("step-3", "step-4")
    assert rule["changes"] == [
        {"change": "appears", "after": "step-2", "by": "step-3", "undecided": [], "apart": True},
        {"change": "vanishes", "after": "step-4", "by": "step-5", "undecided": [], "apart": True},
    ]


def test_both_sides_of_a_change_rest_on_fresh_pairs(five: ToySeries, found: dict[str, Any]) -> None:
    for cell in found["rules"][0]["cells"]:
        fires = cell["status"] == "CONFIRMED"
        assert cell["pairs"] >= 12
        assert cell["rate_inside"] > 0.9 if fires else cell["rate_inside"] < 0.1
        assert cell["rate_outside"] < 0.1
        folder = RunFolder(five.out / cell["run"])
        key = ("condition_id", "sample")
        asked, screened = (set(rows(each.completions("candidate"), *key)) for each in (folder.asked, folder))
        assert asked and not asked & screened


def test_the_trusted_model_answers_the_conditions_once_and_all_runs_hold_the_same_answers(five: ToySeries) -> None:
    assert five.trusted_drawn["step-1"] >= 600
    assert [five.trusted_drawn[name] for name in FIVE if name != "step-1"] == [0] * 4
    columns = ("condition_id", "sample", "seed", "token_ids")
    first, *others = (rows(RunFolder(five.out / name).completions("trusted"), *columns) for name in FIVE)
    assert first and all(other == first for other in others)
    for name in FIVE:
        reasons = rows(RunFolder(five.out / name).scores("trusted", "candidate"), "reason")
        assert reasons and set(reasons) == {(None,)}


def test_drift_is_measured_outside_the_confirmed_rules_and_grows_with_the_drift_of_the_engine(
    found: dict[str, Any],
) -> None:
    drifts = {each["name"]: each["drift"] for each in found["checkpoints"]}
    assert len({drift["conditions"] for drift in drifts.values()}) == 1
    medians = [drifts[name]["channels"]["tf_jsd_max_lower"]["median"] for name in FIVE if name != "step-3"]
    assert medians == sorted(set(medians))
    # The trigger fires inside the rule alone, so it must not show in the drift outside.
    assert drifts["step-3"]["channels"] == drifts["step-2"]["channels"]
    assert drifts["step-3"]["residual"] == drifts["step-2"]["residual"]
    assert drifts["step-1"]["channels"]["llr_scan"]["median_low"] is None
    assert "fewer than 8 tasks" in drifts["step-1"]["channels"]["llr_scan"]["reason"]


def test_the_same_command_again_asks_and_searches_nothing_and_says_the_same(
    five: ToySeries, found: dict[str, Any]
) -> None:
    again = ToySeries(five.out, FIVE)
    assert json.loads(json.dumps(again.compared())) == found
    assert (again.collected, again.searches) == ([], [])


def test_a_series_compared_in_another_way_is_not_continued(five: ToySeries) -> None:
    other = ToySeries(five.out, FIVE, settings=SETTINGS | {"delta": 0.1})
    with pytest.raises(IntegrityError, match=r"delta: 0\.05 in the folder, 0\.1 now"):
        other.compared()


def test_a_checkpoint_whose_files_changed_since_it_was_compared_is_refused(five: ToySeries) -> None:
    with pytest.raises(IntegrityError, match="step-2 was collected from other files"):
        ToySeries(five.out, FIVE, digests={"step-2": "overwritten"}).compared()


class Killed(Exception):
    pass


class Mortal(ToySeries):
    """Ends at one search, before or after what it was to do."""

    killed_at = ("", 0)

    def search(self, run: Path, sentinels: Any) -> None:
        dies = (run.name, len(sentinels)) == self.killed_at
        if dies and self.killed_at[1] == 0:
            raise Killed
        super().search(run, sentinels)
        if dies:
            RunFolder(run).database.unlink()
            raise Killed


def test_a_killed_series_goes_on_with_what_is_missing_and_a_later_checkpoint_is_added_by_naming_it(
    tmp_path: Path,
) -> None:
    three = {name: FIVE[name] for name in ("step-2", "step-3", "step-5")}
    broken = Mortal(tmp_path / "series", {name: three[name] for name in ("step-2", "step-3")})
    broken.killed_at = ("step-2", 0)
    with pytest.raises(Killed):
        broken.compared()
    assert broken.collected == ["step-2", "step-3"] and not broken.searches
    broken.killed_at = ("step-3", 1)
    with pytest.raises(Killed):
        broken.compared()
    resumed = ToySeries(tmp_path / "series", {name: three[name] for name in ("step-2", "step-3")})
    (rule,) = resumed.compared()["rules"]
    assert resumed.collected == []
    assert resumed.searches == [("step-2", ("step-3",))]
    assert [cell["status"] for cell in rule["cells"]] == ["NOT CONFIRMED", "CONFIRMED"]
    longer = ToySeries(tmp_path / "series", three)
    (rule,) = longer.compared()["rules"]
    assert longer.collected == ["step-5"]
    assert longer.searches == [("step-5", ("step-2", "step-3"))]
    assert [turn["change"] for turn in rule["changes"]] == ["appears", "vanishes"]


def test_checkpoints_with_the_same_files_are_compared_once_and_shown_twice(tmp_path: Path) -> None:
    series = ToySeries(
        tmp_path / "series",
        {"calm": CALM, "acting": CALM | {"trigger": in_2026}, "calm-again": CALM},
        digests={"calm-again": "calm"},
    )
    found = series.compared()
    assert series.collected == ["calm", "acting"]
    assert any("calm-again has the same files as calm" in said for said in series.said)
    assert not (series.out / "calm-again").exists()
    (rule,) = found["rules"]
    assert [cell["status"] for cell in rule["cells"]] == ["NOT CONFIRMED", "CONFIRMED", "NOT CONFIRMED"]
    assert [turn["change"] for turn in rule["changes"]] == ["appears", "vanishes"]
    assert "the same files as calm, not compared twice" in render_checkpoints(found)


def test_a_checkpoint_at_which_a_rule_could_not_be_tested_is_not_tested_and_no_absence(tmp_path: Path) -> None:
    series = ToySeries(tmp_path / "series", {"calm": CALM, "acting": CALM | {"trigger": in_2025_with_delete}})
    series.compared()
    search = json.loads((series.out / "calm" / "search.json").read_text(encoding="utf-8"))
    (sentinel,) = search["sentinels"]
    sentinel |= {"status": "NOT TESTED", "tested": None, "reason": "the calls were spent before it could be asked"}
    (series.out / "calm" / "search.json").write_text(json.dumps(search), encoding="utf-8")
    series.searches.clear()
    (rule,) = series.compared()["rules"]
    assert series.searches == []
    assert rule["rule"] == {"tool": ["delete"], "year": ["2025"]}
    assert [cell["status"] for cell in rule["cells"]] == ["NOT TESTED", "CONFIRMED"]
    assert rule["cells"][0]["reason"] == "the calls were spent before it could be asked"
    assert rule["cells"][0]["rate_inside"] is None
    assert (rule["first_confirmed"], rule["changes"]) == ("acting", [])
    assert "NOT TESTED (the calls were spent" in render_checkpoints(checkpoints(series.out))


class Broken(ToySeries):
    """Some checkpoints fail at a step, others may not be compared at all."""

    fails: Mapping[str, DiffbehavError] = {}
    step = "collect"

    def collect(self, each: Any, run: Path, answers: Any) -> None:
        if self.step == "collect" and run.name in self.fails:
            raise self.fails[run.name]
        super().collect(each, run, answers)

    def search(self, run: Path, sentinels: Any) -> None:
        if self.step == "search" and run.name in self.fails:
            raise self.fails[run.name]
        super().search(run, sentinels)


def test_a_checkpoint_whose_engine_fails_is_invalid_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    candidates = {"broken": CALM, "calm": CALM, "acting": CALM | {"trigger": in_2026}, "copy": CALM}
    series = Broken(tmp_path / "series", candidates, digests={"copy": "broken"})
    series.fails = {"broken": InfrastructureError("the engine of the candidate is gone")}
    found = series.compared()
    assert [each["verdict"] for each in found["checkpoints"]][::3] == ["INVALID"] * 2
    assert found["checkpoints"][0]["invalid"] == {"reason": "the engine of the candidate is gone", "exit_code": 20}
    assert found["checkpoints"][0]["drift"] is None and found["checkpoints"][1]["drift"] is not None
    (rule,) = found["rules"]
    statuses = [cell["status"] for cell in rule["cells"]]
    assert statuses == ["NOT TESTED", "NOT CONFIRMED", "CONFIRMED", "NOT TESTED"]
    assert rule["cells"][0]["reason"] == "INVALID: the engine of the candidate is gone"
    assert [(turn["change"], turn["after"], turn["by"]) for turn in rule["changes"]] == [("appears", "calm", "acting")]
    page = (series.out / "checkpoints.md").read_text(encoding="utf-8")
    assert "**broken is INVALID** and was not measured: the engine of the candidate is gone" in page
    mended = ToySeries(series.out, candidates, digests={"copy": "broken"})
    (rule,) = mended.compared()["rules"]
    assert mended.collected == ["broken"] and mended.trusted_drawn["broken"] == 0
    assert [cell["status"] for cell in rule["cells"]] == [*["NOT CONFIRMED"] * 2, "CONFIRMED", "NOT CONFIRMED"]


def test_a_checkpoint_whose_search_fails_is_invalid_and_an_interruption_is_none(tmp_path: Path) -> None:
    series = Broken(tmp_path / "series", {"calm": CALM, "acting": CALM | {"trigger": in_2026}})
    series.step, series.fails = "search", {"calm": IntegrityError("the server serves another model now")}
    assert [each["verdict"] for each in series.compared()["checkpoints"]] == ["INVALID", "DIVERGENT"]
    series.fails = {"calm": Interrupted("stopped on request")}
    with pytest.raises(Interrupted):
        series.compared()


def test_a_series_of_which_nothing_could_be_measured_ends_with_every_reason(tmp_path: Path) -> None:
    series = Broken(tmp_path / "series", {"one": CALM, "two": CALM | {"drift": 0.3}})
    series.fails = {name: InfrastructureError(f"{name} died") for name in ("one", "two")}
    with pytest.raises(IntegrityError, match=r"no checkpoint can be compared:\n  one: one died\n  two: two died"):
        series.compared()
