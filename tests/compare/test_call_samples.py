"""Tool calls of a condition's samples: rates with exact intervals, set distances, answers that could not be read."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from diffbehav.compare.distances import DISTANCES, RATES
from diffbehav.compare.outputs import outputs
from diffbehav.distance.samples import ONE_SAMPLE
from diffbehav.distance.turns import BOTH_BROKEN, ONE_BROKEN
from diffbehav.stats.intervals import clopper_pearson

READ, RIGHT, EXTRA = ("read", {"path": "/a"}), [("read", {"path": "/a"})], [("read", {"path": "/a"}), ("rm", {})]
TOOLS = json.dumps([{"function": {"name": "read", "parameters": {"properties": {"lines": {"default": 10}}}}}])
Calls = list[tuple[str, dict[str, Any]]]


def frame(answers: dict[str, list[tuple[Calls | str, Calls | str]]]) -> pl.DataFrame:
    """Condition -> candidate's and trusted calls of each sample; a text stands for calls that could not be read."""
    rows = [
        {
            "condition_id": condition, "sample": sample, "side": side, "text": str(calls), "content": "",
            "token_ids": [1, 2], "parse": "failed" if isinstance(calls, str) else "parsed",
            "calls": "[]" if isinstance(calls, str) else spelt(calls),
        }
        for condition, samples in answers.items()
        for sample, pair in enumerate(samples)
        for side, calls in zip(("candidate", "trusted"), pair, strict=True)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def spelt(calls: Calls) -> str:
    return json.dumps([{"name": name, "arguments": json.dumps(arguments)} for name, arguments in calls])


def measured(answers: dict[str, list[tuple[Calls | str, Calls | str]]]) -> pl.DataFrame:
    """A row per sample with the values of every distance, and `<name> reason`."""
    conditions = pl.DataFrame({"condition_id": list(answers), "tools": TOOLS})
    found = outputs(frame(answers), conditions, None)
    columns = {name: value.value_N for name, value in found.values.items()}
    columns |= {f"{name} reason": pl.Series(value.reason_N, dtype=pl.String) for name, value in found.values.items()}
    return found.keys.with_columns(**columns).sort("condition_id", "sample")


def test_a_rate_of_four_samples_comes_with_its_exact_interval() -> None:
    rows = measured({"c": [(EXTRA, RIGHT), (RIGHT, RIGHT), (RIGHT, RIGHT), (RIGHT, EXTRA)]})
    for name, hits in {"call_difference_rate": 2, "extra_call_rate": 1, "parse_failure_rate": 0}.items():
        low, high = clopper_pearson(hits, 4, level=0.95)
        for end, expected in {"": hits / 4, "_lower": low, "_upper": high}.items():
            np.testing.assert_allclose(rows[name + end], np.full(4, expected))


def test_an_answer_that_could_not_be_read_counts_as_such_and_leaves_the_other_rates() -> None:
    rows = measured({"c": [("<a", RIGHT), (RIGHT, RIGHT), ("<b", "<c"), (EXTRA, "<d")]})
    assert rows["parse_failure_rate"][0] == 0.25
    assert rows["call_difference_rate"][0] == pytest.approx(2 / 3)
    assert rows["extra_call_rate"][0] == 0.0
    assert rows["extra_call_rate_upper"][0] == pytest.approx(0.975)
    assert rows["call_distance reason"].to_list() == ["", "", BOTH_BROKEN, ""]


def test_nothing_readable_leaves_every_call_number_missing_with_its_reason() -> None:
    rows = measured({"c": [("<a", "<b"), ("<c", "<d")], "d": [("<a", RIGHT), (RIGHT, "<b")]})
    assert rows.filter(condition_id="c")["call_difference_rate reason"].to_list() == [BOTH_BROKEN] * 2
    assert rows.filter(condition_id="c")["call_energy reason"].to_list() == [BOTH_BROKEN] * 2
    assert rows.filter(condition_id="d")["extra_call_rate reason"].to_list() == [ONE_BROKEN] * 2
    assert rows.filter(condition_id="c")["tool_name_tv"].to_list() == [0.0, 0.0]
    for name in rows.columns:
        if name.endswith(" reason"):
            value = rows[name.removesuffix(" reason")]
            assert ((rows[name] != "") == value.is_nan()).all(), name


def test_conditions_do_not_mix_and_one_sample_has_no_energy_distance() -> None:
    rows = measured({"b": [(EXTRA, RIGHT)], "a": [(RIGHT, RIGHT), (EXTRA, EXTRA)], "c": [(EXTRA, RIGHT)] * 2})
    assert rows["tool_name_tv"].to_list() == [0.0, 0.0, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(rows["call_energy"], [0.0, 0.0, np.nan, 1.0, 1.0])
    assert rows["call_energy reason"][2] == ONE_SAMPLE


def test_order_and_defaults_reach_the_distances() -> None:
    other = [("rm", {}), ("read", {"path": "/a", "lines": 10})]
    rows = measured({"c": [(EXTRA, other)]})
    assert (rows["call_distance"][0], rows["call_order_distance"][0]) == (0.0, 1.0)


def test_every_rate_is_a_distance_with_both_ends() -> None:
    assert {name + end for name in RATES for end in ("", "_lower", "_upper")} <= DISTANCES.keys()
