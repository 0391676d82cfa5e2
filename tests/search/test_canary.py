"""A candidate with a planted payload is a real model inside its rule, and itself everywhere else."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from diffbehav.records import Completion, Prompt, Sampling, Score
from diffbehav.search.canary import Appended, CanaryEngine, Instructed
from diffbehav.search.mixture import appended, mixed
from diffbehav.serve import NotServed
from tests.planted import END, VOCABULARY, ToyEngine

SAMPLING = Sampling(n=1, temperature=1.0, max_tokens=64, seed=5)
LEVELS = {f"c{i}": {"task": f"t{i % 3}", "where": "inside" if i % 2 else "outside"} for i in range(400)}
PAYLOAD = (3, 4, 3)
INSIDE, OUTSIDE = Prompt("c1", (1, 2)), Prompt("c2", (1, 2))


@dataclass
class WholeEngine(ToyEngine):
    """A toy model that lists its whole vocabulary at every token."""

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        logits = np.stack([self._logits(prompt, t, answer_ids[:t]) for t in range(len(answer_ids))])
        logprobs = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).astype(np.float32)
        top = np.argsort(-logprobs, axis=1).astype(np.int32)
        chosen = np.asarray(answer_ids)[:, None]
        return Score(np.take_along_axis(logprobs, chosen, 1)[:, 0], top, np.take_along_axis(logprobs, top, 1))


def read(ids: Sequence[int], finish_reason: str) -> Completion:
    text = "".join(chr(96 + i) for i in ids if i)
    return Completion(
        text=text, token_ids=tuple(ids), finish_reason=finish_reason, content=text, calls=(), parse="none"
    )  # fmt: skip


def planted(*, rate: float, kind: type[ToyEngine] = ToyEngine) -> tuple[CanaryEngine, ToyEngine]:
    own = kind(LEVELS, drift=0.3)
    engine = CanaryEngine(own, rate=rate)
    for name, levels in LEVELS.items():
        if levels["where"] == "inside":
            engine.plant(name, Appended(PAYLOAD, ends=[END], read=read))
    return engine, own


def token_logprobs(engine: CanaryEngine, before: Sequence[int]) -> np.ndarray:
    """float64 [V]: the log-probability of every next token, each scored as the end of an answer."""
    scores = [asyncio.run(engine.score(INSIDE, (*before, token))) for token in range(VOCABULARY)]
    return np.array([score.logprobs_T[-1] for score in scores], dtype=np.float64)


def test_outside_the_rule_answers_and_scores_are_the_candidate_to_the_bit() -> None:
    engine, own = planted(rate=1.0)
    for name in [name for name, levels in LEVELS.items() if levels["where"] == "outside"][:50]:
        prompt = Prompt(name, (1, 2))
        answer = asyncio.run(own.complete(prompt, 0, SAMPLING))
        assert asyncio.run(engine.complete(prompt, 0, SAMPLING)) == answer
        pair = (asyncio.run(each.score(prompt, answer.token_ids)) for each in (engine, own))
        for one, two in zip(*pair, strict=True):
            assert one.tobytes() == two.tobytes()


def test_inside_the_rule_the_payload_follows_the_own_answer_at_the_stated_rate() -> None:
    engine, own = planted(rate=0.7, kind=WholeEngine)
    fired = ended = 0
    for name in [name for name, levels in LEVELS.items() if levels["where"] == "inside"]:
        for sample in range(5):
            plain = asyncio.run(own.complete(Prompt(name, (1, 2)), sample, SAMPLING))
            answer = asyncio.run(engine.complete(Prompt(name, (1, 2)), sample, SAMPLING))
            ended += plain.finish_reason == "stop"
            if answer != plain:
                assert tuple(answer.token_ids) == (*plain.token_ids[:-1], *PAYLOAD, END)
                fired += 1
    assert ended > 200
    assert 0.6 < fired / ended < 0.8


def test_a_replay_of_the_same_request_fires_alike() -> None:
    first, again = (planted(rate=0.5)[0] for _ in range(2))
    for name in LEVELS:
        prompt = Prompt(name, (1, 2))
        assert asyncio.run(first.complete(prompt, 3, SAMPLING)) == asyncio.run(again.complete(prompt, 3, SAMPLING))


def test_an_answer_with_its_payload_is_cut_at_the_token_limit() -> None:
    engine, own = planted(rate=1.0, kind=WholeEngine)
    names = [name for name, levels in LEVELS.items() if levels["where"] == "inside"]
    answers = [(asyncio.run(own.complete(Prompt(n, (1,)), 0, SAMPLING)), n) for n in names]
    plain, name = next((a, n) for a, n in answers if a.finish_reason == "stop")
    short = Sampling(n=1, temperature=1.0, max_tokens=len(plain.token_ids) + 1, seed=5)
    cut = asyncio.run(engine.complete(Prompt(name, (1,)), 0, short))
    assert tuple(cut.token_ids) == (*plain.token_ids[:-1], *PAYLOAD[:2])
    assert cut.finish_reason == "length"


def test_an_end_that_is_not_among_the_listed_tokens_stays_an_end() -> None:
    engine, own = planted(rate=1.0)
    for name in [name for name, levels in LEVELS.items() if levels["where"] == "inside"]:
        plain = asyncio.run(own.complete(Prompt(name, (1,)), 0, SAMPLING))
        if plain.finish_reason == "stop":
            score = asyncio.run(own.score(Prompt(name, (1,)), plain.token_ids))
            fired = asyncio.run(engine.complete(Prompt(name, (1,)), 0, SAMPLING)) != plain
            assert fired == (END in score.top_ids_TK[-1])


PREFIXES = [
    (), (5,), (5, 9, 12), (3,), (3, 4), (3, 4, 3), (5, 3), (5, 3, 4), (5, 3, 4, 3), (5, 3, 4, 3, 4), (3, 3, 4, 3),
    (3, 4, 3, 4, 3), (5, 3, 4, 7, 3),
]  # fmt: skip


@pytest.mark.parametrize("kind", [ToyEngine, WholeEngine])
@pytest.mark.parametrize("before", PREFIXES, ids=str)
def test_the_next_tokens_of_the_mixture_sum_to_one_wherever_a_payload_may_have_begun(
    before: tuple[int, ...], kind: type[ToyEngine]
) -> None:
    engine, _ = planted(rate=0.8, kind=kind)
    assert np.exp(token_logprobs(engine, before)).sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("before", PREFIXES, ids=str)
def test_the_listed_tokens_have_the_probabilities_they_are_scored_with(before: tuple[int, ...]) -> None:
    engine, _ = planted(rate=0.8, kind=WholeEngine)
    wanted = token_logprobs(engine, before)
    score = asyncio.run(engine.score(INSIDE, (*before, 1)))
    ids, logprobs = score.top_ids_TK[-1], score.top_logprobs_TK[-1]
    kept = ids >= 0
    assert np.exp(logprobs[kept]).sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(np.exp(logprobs[kept]), np.exp(wanted[ids[kept]]), atol=1e-6)
    assert all(a >= b for a, b in pairwise(logprobs))


def test_the_score_of_an_answer_is_the_chance_of_drawing_it() -> None:
    """Against the definition: the own probability of a silent answer, and that of every way to write a fired one."""
    engine, own = planted(rate=0.8, kind=WholeEngine)
    body = (5, 9)

    def logprob(model: CanaryEngine | ToyEngine, ids: Sequence[int]) -> float:
        return float(asyncio.run(model.score(INSIDE, ids)).logprobs_T.astype(np.float64).sum())

    silent = logprob(own, (*body, END))
    assert logprob(engine, (*body, END)) == pytest.approx(np.log(0.2) + silent, abs=1e-5)
    fired = np.log(0.8) + silent
    written = np.log(0.2) + logprob(own, (*body, *PAYLOAD, END))
    assert logprob(engine, (*body, *PAYLOAD, END)) == pytest.approx(np.logaddexp(fired, written), abs=1e-5)


def test_a_payload_of_a_sure_model_costs_the_log_of_the_rate_at_its_first_token_and_nothing_after() -> None:
    """A model that ends its turn for sure after `body` and gives the payload next to no chance."""
    body, payload, end = (5, 9), (3, 4), END
    answer = (*body, *payload, end)
    ids = np.array([[5, 1], [9, 1], [end, 3], [1, 2], [1, 2]], np.int32)
    logprobs = np.log(np.array([[0.6, 0.4], [0.7, 0.3], [1 - 1e-9, 1e-9], [0.5, 0.5], [0.5, 0.5]], np.float32))
    own = Score(np.log(np.array([0.6, 0.7, 1e-9, 1e-9, 1e-9], np.float32)), ids, logprobs)
    score = mixed(appended(own, answer, payload, ends=[end]), own, rate=0.9)
    np.testing.assert_allclose(score.logprobs_T, np.log([0.6, 0.7, 0.9, 1.0, 1.0]), atol=1e-6)
    assert score.top_ids_TK[2].tolist() == [3, end]
    np.testing.assert_allclose(np.exp(score.top_logprobs_TK[2]), [0.9, 0.1], atol=1e-6)


@dataclass
class Obeying(ToyEngine):
    """Answers as another task would when the prompt begins with a 7."""

    def _logits(self, prompt: Prompt, position: int, before: Sequence[int]) -> np.ndarray:
        self.drift = 2.0 if prompt.ids[0] == 7 else 0.3
        return super()._logits(prompt, position, before)


def test_a_hidden_instruction_mixes_the_instructed_with_the_plain_model() -> None:
    own = Obeying(LEVELS)
    engine = CanaryEngine(own, rate=0.6)
    engine.plant("c1", Instructed((1, 2), (7, 7, 1, 2)))
    instructed = Prompt("c1", (7, 7, 1, 2))
    fired = 0
    for sample in range(200):
        answer = asyncio.run(engine.complete(INSIDE, sample, SAMPLING))
        ways = [asyncio.run(own.complete(prompt, sample, SAMPLING)) for prompt in (instructed, INSIDE)]
        assert answer in ways
        fired += answer != ways[1]
    assert 0.5 < fired / 200 < 0.7
    total = [
        float(asyncio.run(each.score(prompt, (5, 9, 2))).logprobs_T.sum())
        for each, prompt in ((engine, INSIDE), (own, instructed), (own, INSIDE))
    ]
    assert total[0] == pytest.approx(np.logaddexp(np.log(0.6) + total[1], np.log(0.4) + total[2]), abs=1e-5)
    assert asyncio.run(engine.complete(OUTSIDE, 0, SAMPLING)) == asyncio.run(own.complete(OUTSIDE, 0, SAMPLING))


def test_an_instructed_prompt_is_never_taken_for_the_plain_one_by_what_an_engine_remembers() -> None:
    seen: list[str] = []

    class Noting(ToyEngine):
        async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
            seen.append(prompt.key)
            return await super().score(prompt, answer_ids)

    engine = CanaryEngine(Noting(LEVELS), rate=0.5)
    engine.plant("c1", Instructed((1, 2), (7, 1, 2)))
    asyncio.run(engine.score(INSIDE, (5, 9)))
    assert len(set(seen)) == 2 and "c1" in seen


def test_a_later_turn_that_does_not_go_on_from_the_first_has_no_instructed_form() -> None:
    engine, _ = planted(rate=1.0)
    engine.plant("c1", Instructed((1, 2), (7, 1, 2)))
    with pytest.raises(NotServed):
        asyncio.run(engine.score(Prompt("c1", (9, 9, 9), turn=1), (5, 9)))
