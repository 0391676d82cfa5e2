"""The self-check passes sound engines, measures their floor, and names what is wrong with others."""

import asyncio

import pytest

from diffbehav.records import Prompt, Sampling
from diffbehav.serve import Engines, check_engines

pytestmark = pytest.mark.vllm

SAMPLING = Sampling(n=1, temperature=1.0, max_tokens=200, seed=3)


def test_an_adapter_that_acts_passes_with_a_floor_near_zero(
    loop: asyncio.Runner, adapted: Engines, prompts: list[Prompt]
) -> None:
    short = [prompt for prompt in prompts if len(prompt.ids) < 40]
    checks = loop.run(check_engines(*adapted, short, SAMPLING, adapter=True))
    assert [check for check in checks if not check.passed] == []
    assert max(check.floor for check in checks) < 1e-4
    assert any("of 16 answers ended" in check.detail for check in checks)


def test_an_adapter_that_changes_nothing_fails(loop: asyncio.Runner, twins: Engines, prompts: list[Prompt]) -> None:
    short = [prompt for prompt in prompts if len(prompt.ids) < 40]
    failed = [c for c in loop.run(check_engines(*twins, short, SAMPLING, adapter=True)) if not c.passed]
    assert [check.name for check in failed] == ["the adapter changes something"]


def test_a_side_that_never_ends_its_turn_fails(loop: asyncio.Runner, twins: Engines, prompts: list[Prompt]) -> None:
    one_token = Sampling(n=1, temperature=0.0, max_tokens=1, seed=3)
    checks = loop.run(check_engines(*twins, prompts, one_token, adapter=False))
    assert {check.name for check in checks if not check.passed} == {
        "candidate ends its turns",
        "trusted ends its turns",
    }
