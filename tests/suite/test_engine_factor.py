"""A factor over engine settings: strict in the file, part of what a condition is, unseen by the models."""

import json

import pytest

from diffbehav.errors import InputError
from diffbehav.records import condition_id
from diffbehav.suite import Grid, Suite, conditions, draw, json_schema, suite_from_resolved, suite_from_text
from tests.suite.writing import ASK, FACTORS, FULL, random_design, suite_of, text_of

FULL_PRECISION = "{dtype: float32, enforce_eager: true, quantization: null}"
ENGINE = f"""\
  engine:
    kind: engine
    levels:
      exact: {FULL_PRECISION}
      short: {{dtype: bfloat16, enforce_eager: true, quantization: null}}
      small: {{dtype: bfloat16, enforce_eager: false, quantization: fp8}}
"""


def served(*parts: str) -> Suite:
    return suite_of(ASK, FACTORS + ENGINE, *parts or (FULL,))


def refused(factors: str, *, ask: str = ASK) -> list[str]:
    with pytest.raises(InputError) as caught:
        suite_from_text(text_of(ask, FACTORS + factors, FULL), name="small.yaml")
    return str(caught.value).splitlines()


def test_a_setting_has_the_values_of_the_core_schema_and_no_default() -> None:
    suite = served()
    assert suite.engine_factor == "engine"
    assert suite.levels_of("engine") == ("exact", "short", "small")
    assert suite.engine_settings["exact"] == {"dtype": "float32", "enforce_eager": True, "quantization": None}
    assert suite.engine_settings["small"] == {"dtype": "bfloat16", "enforce_eager": False, "quantization": "fp8"}
    again = suite_from_resolved(json.loads(json.dumps(suite.resolved())), name="run.json")
    assert again.digest == suite.digest and again.engine_settings == suite.engine_settings


def test_a_suite_without_such_a_factor_has_no_setting_and_its_conditions_no_engine() -> None:
    plain = suite_of(ASK, FACTORS, FULL)
    assert plain.engine_factor is None and dict(plain.engine_settings) == {}
    (first,) = conditions(plain, [0])
    assert first.engine is None and first.id == condition_id(first.messages, first.tools)


def test_the_setting_is_part_of_a_condition_and_nothing_of_it_is_sent() -> None:
    suite = served()
    three = list(conditions(suite, range(3)))
    assert [each.engine for each in three] == ["exact", "short", "small"]
    assert three[0].messages == three[1].messages == three[2].messages
    assert len({each.id for each in three}) == 3
    assert three[1].id == condition_id(three[1].messages, three[1].tools, None, suite.engine_settings["short"])
    assert suite.unused_factors == ()


def test_a_condition_is_named_by_what_its_level_sets_and_not_by_what_the_level_is_called() -> None:
    renamed = suite_of(ASK, FACTORS + ENGINE.replace("short:", "other:"), FULL)
    changed = suite_of(ASK, FACTORS + ENGINE.replace("short: {dtype: bfloat16", "short: {dtype: float16"), FULL)
    names = [[each.id for each in conditions(suite, range(3))] for suite in (served(), renamed, changed)]
    assert names[0] == names[1]
    assert names[0][::2] == names[2][::2] and names[0][1] != names[2][1]


def test_designs_and_exclusions_treat_it_as_any_other_factor() -> None:
    suite = served(random_design(60), "exclude: [{engine: small, user: [ann, bob]}]\n")
    drawn = list(conditions(suite, draw(suite)))
    assert {each.engine for each in drawn} == {"exact", "short", "small"}
    assert {each.levels["user"] for each in drawn if each.engine == "small"} == {"cy"}
    assert Grid(suite).size == 72 * 3


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("dtype: float32", "dtype: fp32", "factors.engine.levels.exact.dtype", "must be 'float32', 'bfloat16' or"),
        ("enforce_eager: false", "enforce_eager: no", "factors.engine.levels.small.enforce_eager", "valid boolean"),
        ("quantization: fp8", "quantization: fp9", "factors.engine.levels.small.quantization", "'fp8_per_tensor'"),
        ("quantization: fp8", "quantization: experts_int8", "factors.engine.levels.small.quantization", "'fp8'"),
        (", quantization: fp8", "", "factors.engine.levels.small", "missing key `quantization`"),
        ("quantization: fp8", "quantisation: fp8", "factors.engine.levels.small.quantisation", "mean `quantization`?"),
        ("kind: engine", "kind: engines", "factors.engine.kind", "must be 'engine', got engines"),
        ("small:", "exact:", "", "exact"),
    ],
)
def test_a_mistake_in_a_setting_is_shown_at_its_place(old: str, new: str, place: str, said: str) -> None:
    shown = refused(ENGINE.replace(old, new))
    assert any(line.startswith("error[suite.") and line.endswith(place) for line in shown)
    assert said in "\n".join(shown)


def test_two_levels_of_one_setting_are_refused_at_the_second() -> None:
    shown = refused(ENGINE.replace("dtype: bfloat16, enforce_eager: true", "dtype: float32, enforce_eager: true"))
    assert shown[0].endswith("factors.engine.levels.short")
    assert "level 'short' is the setting of 'exact' again" in shown[3]


def test_a_second_factor_over_engines_is_refused() -> None:
    shown = refused(ENGINE + f"  again: {{kind: engine, levels: {{x: {FULL_PRECISION.replace('32', '16')}}}}}\n")
    assert "error[suite.second_engine]" in shown[0] and shown[0].endswith("factors.again")
    assert "'engine' sets the engine already" in "\n".join(shown)


def test_a_template_cannot_name_it_and_no_date_is_derived_from_it() -> None:
    shown = refused(ENGINE, ask=ASK.replace("{{ user }}", "{{ engine }} {{ user }}"))
    assert "suite.unknown_variable" in shown[0] and "unknown variable `engine`" in "\n".join(shown)
    shown = refused(ENGINE + "derived: {year: {from: engine, part: year}}\n")
    assert shown[0].startswith("error[suite.no_date]") and shown[0].endswith("derived.year.from")


def test_an_editor_learns_the_factor() -> None:
    kinds = json_schema()["properties"]["factors"]["additionalProperties"]["anyOf"]
    assert {"$ref": "#/$defs/EngineFactor"} in kinds
    assert json_schema()["$defs"]["EngineSetting"]["required"] == ["dtype", "enforce_eager", "quantization"]
