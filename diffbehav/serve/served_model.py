"""One model in one vLLM engine process, started again when that process dies."""

import asyncio
import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from vllm import AsyncEngineArgs, SamplingParams
from vllm.config import CompilationMode, VllmConfig
from vllm.exceptions import VLLMClientError
from vllm.inputs import tokens_input
from vllm.lora.request import LoRARequest
from vllm.model_executor.models import registry
from vllm.outputs import RequestOutput
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from diffbehav.errors import DiffbehavError, InfrastructureError, InputError
from diffbehav.serve.environment import compiling, last_error, quiet
from diffbehav.serve.orphan import watched

MAX_RESTARTS = 3
_LOOKED_AT_EVERY = 1.0
"""Seconds."""

_log = logging.getLogger(__name__)
_starting = threading.Lock()
"""An engine inherits environment variables that are its own."""


class ServedModel:
    """Sends requests to one engine process; what was in flight when it died is sent again."""

    def __init__(self, llm: AsyncLLM, arguments: Mapping[str, Any]) -> None:
        self._llm = llm
        self._arguments = arguments
        self._reviving = asyncio.Lock()
        # More requests than twice a full batch would only wait in the engine and take memory there.
        config = llm.vllm_config
        self.batch: int = config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size
        """Requests that it works on at a time."""
        self._slots = asyncio.Semaphore(2 * self.batch)
        self._closed = False
        self.restarts = 0

    @property
    def max_model_len(self) -> int:
        """Prompt and answer tokens that one request may have together."""
        return int(self._arguments["max_model_len"])

    @property
    def is_well(self) -> bool:
        """Whether the process has not died so far."""
        return self.restarts == 0 and not (self._closed or self._llm.errored)

    @property
    def dtype(self) -> str | None:
        """What it was told to be served in; None where that was left to vLLM."""
        return self._arguments.get("dtype")

    async def request(
        self, ids: Sequence[int], params: SamplingParams, *, adapter: LoRARequest | None
    ) -> RequestOutput:
        """The finished output of one request, across any restart of the engine."""
        assert not self._closed, "a closed engine is not asked"
        async with self._slots:
            while True:
                llm = self._llm
                try:
                    return await _finished(llm, ids, params, adapter=adapter)
                except VLLMClientError as error:
                    raise InputError(f"vLLM refuses a prompt of {len(ids)} tokens: {error}") from error
                except (EngineDeadError, EngineGenerateError) as error:
                    if self._closed or not (isinstance(error, EngineDeadError) or llm.errored):
                        raise InfrastructureError(
                            f"{self._arguments['model']}: the engine failed on a request: {error.__cause__!r}"
                        ) from error
                    await self._revive(llm)

    async def sleep(self) -> None:
        """Give the memory of the GPU back when all requests have ended; the weights wait in that of the machine."""
        llm = self._llm
        try:
            await self._called(llm, llm.sleep(level=1, mode="wait"))
        except EngineDeadError:
            # It holds no memory any more, which is what was wanted; waking up starts it again.
            _log.warning("%s: the engine process died as it fell asleep", self._arguments["model"])

    async def wake(self) -> None:
        """Take the memory again."""
        llm = self._llm
        try:
            await self._called(llm, llm.wake_up())
        except EngineDeadError:
            await self._revive(llm)

    async def close(self) -> None:
        """End the engine process."""
        if not self._closed:
            self._closed = True
            await _end(self._llm)
            del self._llm

    async def _called(self, llm: AsyncLLM, call: Coroutine[Any, Any, Any]) -> None:
        """A call that vLLM leaves without an answer when the process dies meanwhile."""
        task = asyncio.ensure_future(call)
        try:
            while not (await asyncio.wait({task}, timeout=_LOOKED_AT_EVERY))[0]:
                if llm.errored:
                    raise EngineDeadError
            await task
        except EngineDeadError:
            raise
        except Exception as error:
            raise InfrastructureError(
                f"{self._arguments['model']}: the engine could not take or leave its turn on the GPU: {error}; "
                "lower `gpu_memory_utilization` of both sides"
            ) from error
        finally:
            task.cancel()

    async def _revive(self, dead: AsyncLLM) -> None:
        async with self._reviving:
            if self._llm is not dead:
                return
            if self.restarts == MAX_RESTARTS:
                raise InfrastructureError(
                    f"{self._arguments['model']}: the engine process died {MAX_RESTARTS + 1} times: "
                    f"{last_error()}. A process that was killed and left nothing ran out of memory: lower "
                    "sampling.max_tokens or serve on a larger machine. The same command resumes."
                )
            self.restarts += 1
            _log.warning("%s: the engine process died; restart %d", self._arguments["model"], self.restarts)
            await _end(dead)
            # A new request can find the engine dead before the handler, ended with it, has told those in flight.
            dead.output_processor.propagate_error(EngineDeadError())
            self._llm = await _start(self._arguments, fork=False)


async def start_models(
    arguments: Sequence[Mapping[str, Any]], *, gpu: bool, asleep: bool = False
) -> list[ServedModel]:
    """Start several engines one after the other; when one does not start, those before it are ended.

    Two that start together on one GPU each take the other's memory for their own and fail. With `asleep` each is put to
    sleep before the next is started.
    """
    if not gpu:
        _inspect_models_in_process()
    # vLLM looks at all that a forked engine inherits, and Flask's stand-ins (Dash brings them) raise when looked at.
    fork = not gpu and "werkzeug" not in sys.modules
    models: list[ServedModel] = []
    try:
        for each in arguments:
            models.append(ServedModel(await _start(each, fork=fork), each))
            if asleep:
                await models[-1].sleep()
    except DiffbehavError:
        await asyncio.gather(*(model.close() for model in models))
        raise
    return models


@quiet()
def check_setting(arguments: Mapping[str, Any], *, gpu: bool) -> None:
    """InputError where vLLM would serve in another dtype, or eagerly what is to be compiled. Starts nothing."""
    if not gpu:
        _inspect_models_in_process()
    try:
        with _starting, watched(), compiling() if _compiled(arguments) else nullcontext():
            config = _config(arguments)
    except ValueError as error:
        raise InputError(f"{arguments['model']}: vLLM cannot serve this model so: {error}") from error
    dtype = str(config.model_config.dtype).removeprefix("torch.")
    if dtype != arguments.get("dtype", dtype):
        raise InputError(f"{arguments['model']}: vLLM would serve it in {dtype}, not in {arguments['dtype']!r}")
    if _compiled(arguments) and config.compilation_config.mode in (None, CompilationMode.NONE):
        raise InputError(
            f"{arguments['model']}: vLLM would serve it eagerly in spite of `enforce_eager: false`; on a CPU it does "
            "not compile a model with an adapter: merge the adapter into its base"
        )


def _inspect_models_in_process() -> None:
    """Importing a model class initialises nothing on a CPU, so vLLM's extra process (20 s) is saved."""
    registry._run_in_subprocess = lambda inspect: inspect()


async def _end(llm: AsyncLLM) -> None:
    # Left running, the handler would report the end of the process as its death.
    if llm.output_handler is not None:
        llm.output_handler.cancel()
    await asyncio.to_thread(llm.shutdown)


async def _finished(
    llm: AsyncLLM, ids: Sequence[int], params: SamplingParams, *, adapter: LoRARequest | None
) -> RequestOutput:
    outputs = llm.generate(tokens_input(list(ids)), params, request_id=uuid.uuid4().hex, lora_request=adapter)
    last = None
    async for output in outputs:
        last = output
    assert last is not None, "vLLM ends every request with an output"
    return last


async def _start(arguments: Mapping[str, Any], *, fork: bool) -> AsyncLLM:
    try:
        return await asyncio.to_thread(_start_blocking, arguments, fork=fork)
    except ValueError as error:
        raise InputError(f"{arguments['model']}: vLLM cannot serve this model: {error}") from error
    except RuntimeError as error:
        method = arguments.get("quantization")
        so = "" if method is None else f" with quantization {method!r}"
        raise InfrastructureError(
            f"{arguments['model']}{so}: the engine did not start: {last_error()}. A process that was killed and "
            "left nothing ran out of memory."
        ) from error


def _compiled(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("enforce_eager") is False


def _config(arguments: Mapping[str, Any]) -> VllmConfig:
    return AsyncEngineArgs(**arguments).create_engine_config(UsageContext.ENGINE_CONTEXT)


@quiet()
def _start_blocking(arguments: Mapping[str, Any], *, fork: bool) -> AsyncLLM:
    with _starting, watched(), compiling() if _compiled(arguments) else nullcontext():
        # torch reads at its import whether it may compile, so a forked engine would not.
        return _started(_config(arguments), fork=fork and not _compiled(arguments))


def _started(config: VllmConfig, *, fork: bool) -> AsyncLLM:
    # A forked engine has vLLM imported already, which saves 8 s. The driver must not have busy threads then.
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork" if fork else "spawn"
    # The engine inherits the mask: an interrupt of the whole process group is the driver's to handle.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return AsyncLLM.from_vllm_config(config, disable_log_stats=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
