"""collect's wall time against bare vLLM on the same prompts, sampling and scoring, side by side on warm engines.

    python -m tests.benchmarks.overhead [--conditions 400] [--rounds 3]

Bare vLLM is the least work that gives the same numbers on a CPU: both models answer each prompt and keep the top-k
log-probabilities of what they draw, an answer is scored by the other model unless that gave the same one; nothing is
decoded, parsed, aligned or stored. The rounds alternate, the prefix caches are emptied
before each, and the median of the ratios is what counts.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffbehav.collect import feed
from diffbehav.collect.answers import REPLICATE_SEED
from diffbehav.collect.prompts import plan
from diffbehav.organism import shipped
from diffbehav.records import Prompt, Sampling, request_seed
from diffbehav.serve import Engines, Renderer, on_gpu, prepare
from diffbehav.store import RunFolder
from diffbehav.suite import load_suite
from diffbehav.suite import shipped as shipped_suite

TOP_K = 20


async def bare(models: list, asked: Sequence[tuple[Prompt, bool]], sampling: Sampling, *, in_flight: int) -> int:
    """Ask and score with nothing around it; returns the number of answers."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    slots = asyncio.Semaphore(in_flight)
    final = RequestOutputKind.FINAL_ONLY
    scoring = SamplingParams(
        max_tokens=1, temperature=0, prompt_logprobs=TOP_K, detokenize=False, flat_logprobs=True, output_kind=final
    )

    async def ask(llm: object, ids: list[int], params: SamplingParams) -> list[int]:
        async for output in llm.generate({"prompt_token_ids": ids}, params, request_id=uuid.uuid4().hex):
            last = output
        return list(last.outputs[0].token_ids)

    async def answer(llm: object, prompt: Prompt, seed: int) -> tuple[int, ...]:
        params = SamplingParams(
            max_tokens=sampling.max_tokens, temperature=sampling.temperature, detokenize=False, output_kind=final,
            seed=request_seed(prompt.condition_id, 0, seed), logprobs=TOP_K, flat_logprobs=True,
        )
        return tuple(await ask(llm, list(prompt.ids), params))

    async def one(prompt: Prompt, replicated: bool) -> int:
        async with slots:
            jobs = [answer(llm, prompt, sampling.seed) for llm in models]
            if replicated:
                jobs.append(answer(models[1], prompt, sampling.seed + REPLICATE_SEED))
            answers = await asyncio.gather(*jobs)
            if answers[0] != answers[1]:
                crossed = zip(models, (answers[1], answers[0]), strict=True)
                await asyncio.gather(*(ask(llm, [*prompt.ids, *ids], scoring) for llm, ids in crossed))
            return len(answers)

    return sum(await asyncio.gather(*(one(prompt, again) for prompt, again in asked)))


async def compare(conditions: int, rounds: int) -> None:
    """Print both times and their ratio per round."""
    prepare()
    from diffbehav.serve.profile import engine_arguments
    from diffbehav.serve.served_model import start_models
    from diffbehav.serve.tool_parser import ToolCallParser
    from diffbehav.serve.vllm_engine import VllmEngine

    suite = load_suite(shipped_suite("agent_context"))
    folders = [shipped("temporal"), shipped("trusted")]
    renderer = Renderer(folders[1])
    parser = ToolCallParser(renderer.tokenizer, tool_format="hermes")
    with tempfile.TemporaryDirectory() as scratch:
        planned = plan(suite, renderer, Path(scratch) / "c.parquet", limit=conditions, context=2048)
        arguments = [
            engine_arguments(f, adapters=(), max_model_len=1024, top_k=TOP_K, engines=2, gpu=on_gpu())
            for f in folders
        ]
        models = await start_models(arguments, gpu=on_gpu())
        llms = [model._llm for model in models]
        asked = list(zip(planned.prompts, planned.replicated.tolist(), strict=True))
        full = 2 * max(model.batch for model in models)
        await bare(llms, asked[:64], suite.sampling, in_flight=full)
        ratios = []
        for number in range(rounds):
            times = {}
            for name in ("bare", "collect") if number % 2 == 0 else ("collect", "bare"):
                for llm in llms:
                    await llm.reset_prefix_cache()
                started = time.perf_counter()
                if name == "bare":
                    await bare(llms, asked, suite.sampling, in_flight=full)
                else:
                    engines = Engines(
                        *(
                            VllmEngine(
                                model, renderer=renderer, parser=parser, top_k=TOP_K, max_model_len=1024, adapter=None,
                                score_while_drawing=not on_gpu(),
                            )
                            for model in models
                        )
                    )
                    folder = RunFolder(Path(scratch) / f"run{number}")
                    folder.path.mkdir()
                    await feed(folder, planned, engines, suite.sampling, on_progress=lambda _: None)
                times[name] = time.perf_counter() - started
            ratios.append(times["collect"] / times["bare"])
            shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in sorted(times.items()))
            print(f"round {number}: {shown}, ratio {ratios[-1]:.3f}")
        for model in models:
            await model.close()
    tokens = np.mean([len(prompt.ids) for prompt in planned.prompts])
    print(f"{len(planned.prompts)} conditions of {tokens:.0f} prompt tokens: ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--conditions", type=int, default=400)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    asyncio.run(compare(chosen.conditions, chosen.rounds))
