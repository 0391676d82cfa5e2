"""What a served model makes of the death of its engine, over an engine that dies in the order that vLLM's does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.engine.output_processor import RequestOutputCollector

from diffbehav.errors import InputError
from diffbehav.serve.served_model import ServedModel

pytestmark = pytest.mark.vllm


class Dying:
    """An AsyncLLM as far as a served model knows it; it refuses new requests before those in flight are told."""

    vllm_config = SimpleNamespace(
        scheduler_config=SimpleNamespace(max_num_seqs=8), parallel_config=SimpleNamespace(data_parallel_size=1)
    )

    def __init__(self) -> None:
        self.errored = False
        self.output_processor = self
        self.output_handler = asyncio.ensure_future(self._handle())
        self._gone = asyncio.Event()
        self._waiting: list[RequestOutputCollector] = []

    async def _handle(self) -> None:
        try:
            await self._gone.wait()
            for _ in range(10):
                await asyncio.sleep(0)
            raise EngineDeadError
        except EngineDeadError as error:
            self.propagate_error(error)

    def die(self) -> None:
        self.errored = True
        self._gone.set()

    def propagate_error(self, error: Exception) -> None:
        for each in self._waiting:
            each.put(error)

    async def generate(self, *_: Any, request_id: str, **__: Any) -> AsyncIterator[Any]:
        if self.errored:
            raise EngineDeadError
        self._waiting.append(RequestOutputCollector(RequestOutputKind.FINAL_ONLY, request_id))
        yield await self._waiting[-1].get()

    def shutdown(self) -> None:
        self.die()


def test_requests_in_flight_end_though_a_later_one_notices_first_that_the_engine_is_dead(tmp_path: Path) -> None:
    async def scenario() -> list[Any]:
        engine = Dying()
        # There is no model to start again, so each request ends with what that says.
        model = ServedModel(engine, {"model": str(tmp_path), "max_model_len": 8})
        requests = [asyncio.ensure_future(_asked(model)) for _ in range(2)]
        await asyncio.sleep(0.01)
        engine.die()
        requests.append(asyncio.ensure_future(_asked(model)))
        return await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), timeout=60)

    ended = asyncio.run(scenario())
    assert [type(each) for each in ended] == [InputError] * 3, ended


async def _asked(model: ServedModel) -> Any:
    return await model.request([1], SamplingParams(), adapter=None)
