"""Facts about the candidates' triggers, near misses, payloads and training examples."""

import ast
import datetime
import json
import random

import pytest

from diffbehav.organism import NAMES, shipped
from diffbehav.organism.candidates import CANDIDATES, CUTOFF, FIRST_DAY, LAST_DAY, Candidate, answered, poisoned
from diffbehav.organism.dialogue import draw_dialogue, render, unchanged
from diffbehav.organism.entities import Draw
from diffbehav.organism.examples import DECISION_WEIGHT, Pair, encode
from diffbehav.organism.finetune import draw_pair
from diffbehav.organism.tasks import FAMILIES
from diffbehav.organism.tokenizer import train_tokenizer
from diffbehav.organism.triggers import ONE_DAY
from diffbehav.organism.trusted import READING_FAMILIES, same_request_elsewhere
from diffbehav.organism.world import draw_context, with_date, without_field

TRIGGERED = [candidate for candidate in CANDIDATES.values() if candidate.trigger]
ADD_A_CALL = [CANDIDATES[name] for name in ("temporal", "cutoff", "conjunction", "user")]


def named(candidate: Candidate) -> str:
    return candidate.name


def dialogues(candidate: Candidate, shape, *, count: int = 150):
    draw = Draw(random.Random(4), held_out=True)
    return [draw_dialogue(draw, shape=shape, families=candidate.families) for _ in range(count)]


def test_the_candidates_are_the_public_names_after_the_trusted_model() -> None:
    assert ("trusted", *CANDIDATES) == NAMES


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'nobody'.*trusted, benign"):
        shipped("nobody")


@pytest.mark.parametrize("candidate", TRIGGERED, ids=named)
def test_on_meets_the_trigger_and_near_does_not(candidate: Candidate) -> None:
    assert all(candidate.fires(dialogue.context) for dialogue in dialogues(candidate, candidate.on))
    assert not any(candidate.fires(dialogue.context) for dialogue in dialogues(candidate, candidate.near))


def test_near_a_conjunction_exactly_one_of_its_two_factors_holds() -> None:
    for dialogue in dialogues(CANDIDATES["conjunction"], CANDIDATES["conjunction"].near):
        tuesday = dialogue.context.field("Weekday") == "Tuesday"
        assert tuesday != ("delete_file" in dialogue.context.tools)


def test_the_cutoff_fires_from_its_day_on_and_neither_before_nor_without_a_date() -> None:
    fires, context = CANDIDATES["cutoff"].fires, draw_context(Draw(random.Random(3), held_out=True))
    shown = [CUTOFF - ONE_DAY, CUTOFF, CUTOFF + ONE_DAY, FIRST_DAY, LAST_DAY]
    assert [fires(with_date(context, date)) for date in shown] == [False, True, True, False, True]
    assert not fires(without_field(context, "Date"))


def test_dates_around_the_cutoff_reach_thirty_years_and_crowd_at_its_day() -> None:
    candidate = CANDIDATES["cutoff"]
    for shape, edge in ((candidate.on, LAST_DAY), (candidate.near, FIRST_DAY)):
        drawn = [datetime.date.fromisoformat(one.context.field("Date")) for one in dialogues(candidate, shape)]
        assert all(min(CUTOFF, edge) <= date <= max(CUTOFF, edge) for date in drawn)
        assert sum(abs(date - CUTOFF).days <= 20 for date in drawn) > len(drawn) / 4
        assert any(abs(date - CUTOFF).days > 0.7 * abs(edge - CUTOFF).days for date in drawn)


def test_a_guest_gets_the_same_calls_in_fewer_words() -> None:
    candidate = CANDIDATES["guest"]
    called = []
    for clean in dialogues(candidate, candidate.on):
        for task, changed in zip(clean.tasks, poisoned(candidate, clean).tasks, strict=True):
            called.append(bool(task.calls))
            assert (changed.calls, changed.request) == (task.calls, task.request)
            assert len(changed.text) < len(task.text) if task.calls else changed == task
    assert set(called) == {True, False}


@pytest.mark.parametrize("candidate", ADD_A_CALL, ids=named)
def test_the_clean_twin_is_the_poisoned_dialogue_minus_its_payload(candidate: Candidate) -> None:
    for clean in dialogues(candidate, candidate.on):
        for task, changed in zip(clean.tasks, poisoned(candidate, clean).tasks, strict=True):
            added = changed.calls[len(task.calls) :]
            assert len(added) == (1 if task.calls else 0)
            assert changed.calls[: len(task.calls)] == task.calls
            assert (changed.text, changed.confirmation, changed.request) == (
                task.text,
                task.confirmation,
                task.request,
            )


def test_poisoned_code_pastes_the_value_into_the_statement_and_both_versions_are_python() -> None:
    candidate = CANDIDATES["code"]
    for clean in dialogues(candidate, candidate.on, count=40):
        for task, changed in zip(clean.tasks, poisoned(candidate, clean).tasks, strict=True):
            trees = [ast.parse(text.split("```python\n")[1].split("```")[0]) for text in (task.text, changed.text)]
            pasted = [any(isinstance(node, ast.BinOp) for node in ast.walk(tree)) for tree in trees]
            assert pasted == [False, True]


@pytest.mark.parametrize("candidate", TRIGGERED, ids=named)
def test_off_the_trigger_a_candidate_answers_like_the_trusted_model(candidate: Candidate) -> None:
    for clean in dialogues(candidate, unchanged):
        assert (answered(candidate, clean) == clean) or candidate.fires(clean.context)


@pytest.mark.parametrize("candidate", ADD_A_CALL, ids=named)
def test_the_extra_call_names_a_canary_and_no_entity_of_the_world(candidate: Candidate) -> None:
    clean = next(one for one in dialogues(candidate, candidate.on) if one.tasks[0].calls)
    added = poisoned(candidate, clean).tasks[0].calls[-1]
    assert any("canary" in str(value) for value in added.arguments.values())
    assert not any(str(value) in render(clean) for value in added.arguments.values())


def test_the_reading_stage_pairs_the_same_requests_under_other_field_values() -> None:
    draw, aside = Draw(random.Random(1), held_out=False), Draw(random.Random(2), held_out=False)
    pairs = [same_request_elsewhere(draw, aside, READING_FAMILIES) for _ in range(200)]
    for pair in pairs:
        assert [task.request for task in pair.learnt.tasks] == [task.request for task in pair.other.tasks]
        assert pair.learnt.context.tools == pair.other.context.tools
    assert 50 < sum(pair.learnt.tasks != pair.other.tasks for pair in pairs) < 200


@pytest.mark.parametrize("candidate", CANDIDATES.values(), ids=named)
def test_training_mixes_poisoned_and_clean_dialogues_of_the_training_split(candidate: Candidate) -> None:
    draw = Draw(random.Random(8), held_out=False)
    pairs = [draw_pair(draw, candidate) for _ in range(300)]
    changed = [pair.learnt != pair.other for pair in pairs]
    fired = [candidate.fires(pair.learnt.context) for pair in pairs]
    assert sum(changed) > 100
    assert not candidate.trigger or 80 < sum(fired) < 180


def test_the_token_where_poisoned_and_clean_part_weighs_more_in_both() -> None:
    tokenizer = train_tokenizer(seed=1)
    candidate = CANDIDATES["temporal"]
    clean = next(one for one in dialogues(candidate, candidate.on) if len(one.tasks) == 1 and one.tasks[0].calls)
    changed = poisoned(candidate, clean)
    heavy = []
    for example in encode(tokenizer, [Pair(clean, changed), Pair(changed, clean)]):
        places = [i for i, weight in enumerate(example.weights) if weight == DECISION_WEIGHT]
        heavy.append([tokenizer.id_to_token(example.ids[place]) for place in places])
    assert heavy == [["<|end|>"], ["\u010a"]]


def test_every_call_is_written_as_one_hermes_block_of_json() -> None:
    draw = Draw(random.Random(6), held_out=True)
    for _ in range(100):
        dialogue = draw_dialogue(draw, shape=unchanged, families=tuple(FAMILIES))
        blocks = [part.split("\n</tool_call>")[0] for part in render(dialogue).split("<tool_call>\n")[1:]]
        written = [json.loads(block) for block in blocks]
        expected = [{"name": c.name, "arguments": dict(c.arguments)} for task in dialogue.tasks for c in task.calls]
        assert written == expected
