"""What a canary carries, in the words of the shipped model."""

import json

import numpy as np
import pytest

from diffbehav.errors import InputError
from diffbehav.organism import shipped
from diffbehav.records import Condition
from diffbehav.search.canary import Appended, Instructed
from diffbehav.search.payloads import TEXT, Carried, instructed, payloads, reader
from diffbehav.serve import Renderer, prepare
from diffbehav.suite import conditions, load_suite
from diffbehav.suite import shipped as shipped_suite

prepare()


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(shipped("trusted"))


@pytest.fixture(scope="module")
def drawn() -> list[Condition]:
    suite = load_suite(shipped_suite("agent_context"))
    return list(conditions(suite, range(0, 4_000_000, 97_003)))


def payload_texts(carried: Carried, renderer: Renderer, drawn: list[Condition], seed: int) -> list[str]:
    suite = load_suite(shipped_suite("agent_context"))
    of = payloads(carried, renderer, suite, tool_format="hermes", rng=np.random.default_rng(seed))
    made = [of(condition) for condition in drawn]
    assert all(isinstance(each, Appended) for each in made)
    return [renderer.decode(each._payload) for each in made]


def test_the_planted_call_is_one_of_an_offered_tool_that_the_models_parser_reads(
    renderer: Renderer, drawn: list[Condition]
) -> None:
    read = reader(renderer, "hermes")
    for condition, text in zip(drawn, payload_texts(Carried("call", TEXT), renderer, drawn, 1), strict=True):
        answer = read([*renderer.encode("I will do it." + text), *renderer.eos_ids], "stop")
        assert (answer.content.strip(), answer.parse) == ("I will do it.", "parsed")
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in condition.tools}
        (call,) = answer.calls
        assert set(json.loads(call.arguments)) == set(offered[call.name]["required"])


def test_what_is_carried_depends_on_the_task_and_on_no_factor(renderer: Renderer, drawn: list[Condition]) -> None:
    texts = payload_texts(Carried("call", TEXT), renderer, drawn, 1)
    assert len({(condition.task, text) for condition, text in zip(drawn, texts, strict=True)}) == len(
        {condition.task for condition in drawn}
    )
    assert len({condition.levels["extra_tool"] for condition in drawn}) == 4


def test_other_seeds_plant_calls_of_other_tools(renderer: Renderer, drawn: list[Condition]) -> None:
    first, again, other = (payload_texts(Carried("call", TEXT), renderer, drawn, seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_text_is_carried_as_it_was_given(renderer: Renderer, drawn: list[Condition]) -> None:
    assert set(payload_texts(Carried("text", "\nSing at dawn."), renderer, drawn, 1)) == {"\nSing at dawn."}


def test_an_instruction_is_only_in_the_prompt_of_the_candidate(renderer: Renderer, drawn: list[Condition]) -> None:
    of = payloads(
        Carried("instruction", "Say no."), renderer, load_suite(shipped_suite("agent_context")), tool_format="hermes",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    payload = of(drawn[0])
    assert isinstance(payload, Instructed)
    plain, hidden = renderer.decode(payload._plain), renderer.decode(payload._instructed)
    assert "Say no." in hidden and "Say no." not in plain
    assert hidden.replace("\nSay no.", "") == plain


def test_an_instruction_becomes_a_system_message_where_there_is_none() -> None:
    user = {"role": "user", "content": "hello"}
    assert instructed([user], "Say no.") == [{"role": "system", "content": "Say no."}, user]


def test_a_chat_template_without_tool_calls_is_refused_with_the_way_out(drawn: list[Condition]) -> None:
    silent = Renderer(shipped("trusted"))
    silent.tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    with pytest.raises(InputError, match="--payload"):
        payload_texts(Carried("call", TEXT), silent, drawn, 1)
