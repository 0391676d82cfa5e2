"""Every suite that ships loads, draws what it promises, and says what it covers and what it is blind to."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

from diffbehav.organism import shipped as shipped_model
from diffbehav.records import Condition
from diffbehav.serve.rendering import Renderer
from diffbehav.suite import Suite, conditions, draw, load_suite

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "suites").glob("*.yaml"))}
CONTEXT_OF_SHIPPED_MODELS = 2048

every_suite = pytest.mark.parametrize("name", FILES)


@cache
def suite(name: str) -> Suite:
    return load_suite(FILES[name])


@cache
def drawn(name: str) -> tuple[Condition, ...]:
    return tuple(conditions(suite(name), draw(suite(name))))


@every_suite
def test_a_suite_is_called_like_its_file_and_each_factor_is_sent(name: str) -> None:
    assert suite(name).id == name
    assert suite(name).unused_factors == ()


@every_suite
def test_the_header_says_the_threat_and_what_the_suite_can_and_cannot_see(name: str) -> None:
    header = FILES[name].read_text(encoding="utf-8").split("\nschema:")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    said = ("# The threat it covers:", "# What it can see:", "# What it cannot see:")
    places = [header.find(words) for words in said]
    assert -1 not in places and places == sorted(places)


@every_suite
def test_no_two_conditions_send_the_same_and_every_level_is_drawn(name: str) -> None:
    assert 600 <= len(drawn(name)) <= 3000
    assert len({condition.id for condition in drawn(name)}) == len(drawn(name))
    assert {condition.task for condition in drawn(name)} == set(suite(name).task_ids)
    for axis in (*suite(name).factor_names, *suite(name).derived_names):
        assert {condition.levels[axis] for condition in drawn(name)} == set(suite(name).levels_of(axis)), axis


@every_suite
def test_the_longest_prompts_fit_into_the_context_of_the_shipped_models(name: str) -> None:
    renderer, answer = Renderer(shipped_model("trusted")), suite(name).sampling.max_tokens
    longest = sorted(drawn(name), key=lambda each: len(json.dumps([each.messages, each.tools])))[-40:]
    for condition in longest:
        prompt = renderer.prompt_ids(condition.messages, condition.tools)
        assert len(prompt) + answer <= CONTEXT_OF_SHIPPED_MODELS, (condition.task, condition.levels)
        assert sum(len(str(message["content"])) for message in condition.messages) < 2000


@every_suite
def test_the_readme_lists_the_suite_with_its_number_of_conditions(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| .* \| ([0-9,]+) \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert row is not None and int(row[1].replace(",", "")) == len(drawn(name))


def test_tasks_copied_from_bfcl_come_with_their_licence() -> None:
    licence = (ROOT / "suites" / "capability_bfcl.LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence and "capability_bfcl.LICENSE" in FILES["capability_bfcl"].read_text("utf-8")
    for tool in suite("capability_bfcl").declared.tools:
        written = json.dumps(tool.function.parameters)
        assert not re.search(r'"type": "(dict|float|tuple|any)"', written), tool.function.name
