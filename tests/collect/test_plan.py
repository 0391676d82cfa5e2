"""The plan of a run: counts that can be checked by hand, plain lines for what a design cannot see."""

import json
from pathlib import Path
from typing import Any

import pytest

from diffbehav.collect.answers import Answers
from diffbehav.collect.plan import PlanRequest, plan_run
from diffbehav.collect.plan_text import plan_lines
from diffbehav.collect.trial import Round, seconds_per_condition, trial_json
from diffbehav.errors import InputError
from diffbehav.suite import load_suite, shipped
from tests.collect.toy_run import SUITE
from tests.suite.test_covering import covering_design
from tests.suite.writing import ASK, FACTORS, FULL, random_design, text_of


def planned(tmp_path: Path, *parts: str, limit: int | None = None) -> dict[str, Any]:
    path = tmp_path / "small.yaml"
    path.write_text(text_of(*parts), encoding="utf-8")
    request = PlanRequest(path, None, None, None, calibrate=64, limit=limit, search_calls=300)
    return plan_run(request, on_stage=lambda _: None)


def said(plan: dict[str, Any]) -> str:
    return "\n".join(plan_lines(plan))


def test_the_counts_of_a_full_design_are_those_of_its_grid(tmp_path: Path) -> None:
    plan = planned(tmp_path, ASK, FACTORS, FULL)
    assert (plan["cells"], plan["conditions"]) == (72, 72)
    assert plan["calls"]["collect"] == {"candidate": 72, "trusted": 72, "replicate": 14, "scores": 288}
    assert plan["calls"]["search"] == {"candidate": 300, "trusted": 300, "scores": 1200}
    strengths = [(row["possible"], row["once"], row["often"]) for row in plan["coverage"]["strengths"]]
    assert strengths == [(12, 12, 12), (53, 53, 53), (102, 102, 0)]
    assert plan["coverage"]["rarest_level"]["exposures"] == 18
    assert plan["coverage"]["rarest_pair"]["exposures"] == 6
    assert plan["contexts"] == 72 and plan["measured"] is None
    assert json.loads(json.dumps(plan)) == plan


def test_samples_and_neighbours_change_the_calls_and_the_independent_contexts(tmp_path: Path) -> None:
    text = text_of(ASK, FACTORS, random_design(40, neighbours=1)).replace("n: 1,", "n: 3,")
    (tmp_path / "s.yaml").write_text(text)
    request = PlanRequest(tmp_path / "s.yaml", None, None, None, calibrate=64, limit=None, search_calls=0)
    plan = plan_run(request, on_stage=lambda _: None)
    assert plan["calls"]["collect"] == {"candidate": 120, "trusted": 120, "replicate": 24, "scores": 480}
    assert plan["contexts"] == 20
    assert plan["detectable"][0]["share"] == pytest.approx(1 - 0.05 ** (1 / 20))


def test_without_models_the_text_says_that_tokens_and_time_need_them(tmp_path: Path) -> None:
    text = said(planned(tmp_path, ASK, FACTORS, FULL))
    assert "Tokens, disk and time depend on the models" in text
    assert "conditions           72" in text


def test_a_suite_over_engine_settings_says_which_engines_are_open_at_once() -> None:
    request = PlanRequest(shipped("serving_configuration"), None, None, None, calibrate=64, limit=90, search_calls=0)
    plan = plan_run(request, on_stage=lambda _: None)
    assert plan["engine_settings"] == ["float32", "bfloat16", "float16"]
    assert "engine settings      3 (float32, bfloat16, float16): so many engines of each model are open" in said(plan)


def test_a_factor_with_one_level_is_named_with_the_remedy(tmp_path: Path) -> None:
    one = FACTORS.replace("[ann, bob, cy]", "[ann]")
    remarks = planned(tmp_path, ASK, one, FULL)["remarks"]
    assert remarks[0] == "factor `user` has one level, so nothing can differ with it: add a level or remove it"


def test_a_suite_in_which_one_thing_varies_cannot_see_pairs(tmp_path: Path) -> None:
    asks = "messages: [{role: user, content: '{{ a }}'}]\ntasks: [{id: x}]\nfactors: {a: [p, q]}\n"
    plan = planned(tmp_path, asks, FULL)
    assert plan["remarks"] == [
        "this design cannot see pairs at all, because fewer than two things vary: add a factor or a task"
    ]


@pytest.mark.parametrize(
    ("design", "remedy"),
    [(random_design(8), "raise design.n"), (covering_design(passes=1), "raise design.passes")],
)
def test_a_design_too_small_for_any_pair_says_so_with_its_own_remedy(tmp_path: Path, design: str, remedy: str) -> None:
    remarks = planned(tmp_path, ASK, FACTORS, design)["remarks"]
    assert any("cannot see pairs at all: no pair of levels is exposed 5 times" in line for line in remarks)
    assert remarks[-1].endswith(remedy)
    assert remarks[-1] in said(planned(tmp_path, ASK, FACTORS, design))


def test_a_pair_of_factors_without_enough_exposures_is_named(tmp_path: Path) -> None:
    remarks = planned(tmp_path, ASK, FACTORS, random_design(24))["remarks"]
    assert any(
        line.startswith("0 % of the 12 pairs of `date` and `place` are exposed 5 times, which takes 60 conditions")
        for line in remarks
    )


def test_levels_that_the_exclusions_leave_nothing_for_are_counted(tmp_path: Path) -> None:
    remarks = planned(tmp_path, ASK, FACTORS, FULL, "exclude: [{user: [ann, bob]}]\n")["remarks"]
    assert "the exclusions leave nothing for 2 levels of `user`: remove them or exclude less" in remarks


@pytest.mark.parametrize("design", [FULL, random_design(5), covering_design()])
def test_exclusions_that_leave_nothing_are_an_error_before_anything_is_asked(tmp_path: Path, design: str) -> None:
    with pytest.raises(InputError, match="0 after exclusions|together forbid every cell"):
        planned(tmp_path, ASK, FACTORS, design, "exclude: [{user: [ann, bob, cy]}]\n")


def test_cells_that_send_the_same_are_found_by_the_plan(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="place appears in no template"):
        planned(tmp_path, ASK.replace("{{ place }}", ""), FACTORS, FULL)


def test_the_rate_lies_between_what_a_further_condition_took_and_what_a_large_round_took() -> None:
    rounds = [Round(8, 3.0), Round(24, 5.0), Round(8, 3.2), Round(24, 5.2)]
    assert seconds_per_condition(rounds) == pytest.approx({"low": 2.0 / 16, "high": 5.2 / 24})
    slower = [Round(8, 9.0), Round(24, 5.0), Round(8, 9.0), Round(24, 5.2)]
    assert seconds_per_condition(slower) == pytest.approx({"low": 0.0, "high": 5.2 / 24})


def test_tokens_bytes_and_seconds_are_scaled_to_all_conditions() -> None:
    import numpy as np

    answers = [Answers(*_answers(tokens)) for tokens in (10, 12, 14, 16)]
    rounds = [Round(1, 1.0), Round(1, 1.0), Round(1, 1.0), Round(1, 1.0)]
    found = trial_json(
        rounds, answers, prompt_tokens=np.array([100, 110]), bytes_per_condition=50.0, start_seconds=30.0,
        conditions=600, search_calls=1000, suite=load_suite(SUITE),
    )  # fmt: skip
    assert found["answer_tokens"]["candidate"]["mean"] == 13.0
    assert found["answer_tokens"]["candidate"]["low"] == pytest.approx(13.0 - 3.182 * 2.582 / 2, abs=0.01)
    assert found["answer_tokens"]["replicate"] == {"mean": None, "low": None, "high": None}
    assert found["drawing_answer_tokens"]["trusted"]["mean"] == 7800
    assert found["drawing_prompt_tokens"]["mean"] == 105 * (600 + 600 + 120)
    assert found["parts_bytes"] == 30_000
    assert found["collect_seconds"] == {"low": 30.0, "high": 630.0}
    assert found["search_seconds"] == {"high": 1030.0}


def _answers(tokens: int) -> tuple[Any, ...]:
    row = {"token_ids": list(range(tokens))}
    completions = {"candidate": [row], "trusted": [row], "replicate": []}
    return completions, {}, []
