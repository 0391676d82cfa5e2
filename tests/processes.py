"""The processes that a driver started to hold its models."""

import psutil


def engines_of(driver: int) -> list[psutil.Process]:
    """Children of `driver` that vLLM started as engines; none where it has ended.

    vLLM can name a forked one only where the first variable of the environment is what it was when the driver began;
    elsewhere it keeps the command line of its driver.
    """
    try:
        process = psutil.Process(driver)
        children = process.children()
    except psutil.NoSuchProcess:
        return []
    own = _words(process)
    return [child for child in children if _is_engine(_words(child), own)]


def _words(process: psutil.Process) -> list[str]:
    """Its command line; nothing where it has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _is_engine(words: list[str], driver: list[str]) -> bool:
    line = " ".join(words)
    return bool(words) and (words == driver or line.startswith("VLLM::") or "multiprocessing.spawn" in line)
