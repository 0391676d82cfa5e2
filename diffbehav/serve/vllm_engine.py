"""An engine over one served vLLM model, with or without an adapter."""

from collections.abc import Sequence

import numpy as np
from vllm import SamplingParams
from vllm.logprobs import FlatLogprobs
from vllm.lora.request import LoRARequest
from vllm.sampling_params import RequestOutputKind

from diffbehav.records import Completion, Prompt, Sampling, Score, request_seed
from diffbehav.serve.engine import NotServed
from diffbehav.serve.memo import Memo
from diffbehav.serve.rendering import Renderer
from diffbehav.serve.served_model import ServedModel
from diffbehav.serve.tool_parser import ToolCallParser

_REMEMBERED_SCORES = 4096


class VllmEngine:
    """One side of a comparison. Two sides that differ by an adapter hold the same ServedModel."""

    def __init__(
        self,
        model: ServedModel,
        *,
        renderer: Renderer,
        parser: ToolCallParser,
        top_k: int,
        max_model_len: int,
        adapter: LoRARequest | None,
        score_while_drawing: bool,
        keep_model: bool = False,
    ) -> None:
        """`score_while_drawing`: log-probabilities are the same whether a token is drawn or given, so an own
        answer needs no second pass. True in float32 on a CPU, where the two differ by rounding at most; in narrower
        types rounding is too much. `max_model_len`: tokens of prompt and answer, at most those of the model.
        `keep_model`: closing this engine leaves the model open.
        """
        self._model = model
        self._renderer = renderer
        self._parser = parser
        self._adapter = adapter
        self._top_k = top_k
        self._max_model_len = max_model_len
        self._keep_model = keep_model
        self._score_while_drawing = score_while_drawing
        self._scoring = SamplingParams(
            max_tokens=1, temperature=0, prompt_logprobs=top_k, detokenize=False, flat_logprobs=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )  # fmt: skip
        self._scores: Memo[Score] = Memo(size=_REMEMBERED_SCORES)

    @property
    def restarts(self) -> int:
        """How often the engine process died and was started again."""
        return self._model.restarts

    @property
    def at_once(self) -> int:
        """A full batch, and half of one that waits for its scores or for the other side."""
        return self._model.batch * 3 // 2

    async def complete(self, prompt: Prompt, sample: int, sampling: Sampling) -> Completion:
        """One sampled answer."""
        self._check_length(prompt, answer=sampling.max_tokens)
        params = _drawing(prompt, sample, sampling)
        if self._score_while_drawing:
            params.logprobs, params.flat_logprobs = self._top_k, True
        output = await self._model.request(prompt.ids, params, adapter=self._adapter)
        answer = output.outputs[0]
        ids = tuple(answer.token_ids)
        if isinstance(answer.logprobs, FlatLogprobs) and ids:
            self._scores.put((prompt.key, ids), answer_score(answer.logprobs, answer=len(ids)))
        text = self._renderer.decode(ids)
        return self._parser.parse(text).completion(text, ids, finish_reason=str(answer.finish_reason))

    async def score(self, prompt: Prompt, answer_ids: Sequence[int]) -> Score:
        """Log-probabilities of a given answer; the same answer is computed once."""
        answer = tuple(answer_ids)
        return await self._scores.get((prompt.key, answer), lambda: self._score(prompt, answer))

    async def close(self) -> None:
        """Give back the engine process, also that of another side which shares it, unless it is kept."""
        await self._scores.close()
        if not self._keep_model:
            await self._model.close()

    async def _score(self, prompt: Prompt, answer: tuple[int, ...]) -> Score:
        # Prompt log-probabilities come with one generated token, which takes a place of its own.
        self._check_length(prompt, answer=len(answer) + 1)
        output = await self._model.request((*prompt.ids, *answer), self._scoring, adapter=self._adapter)
        assert isinstance(output.prompt_logprobs, FlatLogprobs)
        return answer_score(output.prompt_logprobs, answer=len(answer))

    def _check_length(self, prompt: Prompt, *, answer: int) -> None:
        if len(prompt.ids) + answer > self._max_model_len:
            raise NotServed(
                f"condition {prompt.condition_id}: {len(prompt.ids)} prompt tokens and {answer} more exceed "
                f"the context of {self._max_model_len} tokens; lower sampling.max_tokens or serve with a longer context"
            )


def answer_score(flat: FlatLogprobs, *, answer: int) -> Score:
    """The last `answer` positions: vLLM lists the token itself first, then the K best by rank."""
    start = flat.start_indices[-answer]
    values = np.array(flat.logprobs[start:], dtype=np.float32).reshape(answer, -1)
    ids = np.array(flat.token_ids[start:], dtype=np.int32).reshape(answer, -1)
    return Score(logprobs_T=values[:, 0], top_ids_TK=ids[:, 1:], top_logprobs_TK=values[:, 1:])


def _drawing(prompt: Prompt, sample: int, sampling: Sampling) -> SamplingParams:
    greedy = sampling.temperature == 0
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        seed=None if greedy else request_seed(prompt.condition_id, sample, sampling.seed, prompt.turn),
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
