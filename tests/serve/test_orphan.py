import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from diffbehav.organism import shipped
from tests.processes import engines_of

pytestmark = pytest.mark.vllm
DRIVER = """
import asyncio, sys, time
from pathlib import Path
if sys.argv[2] == "spawn":
    import werkzeug
from diffbehav.serve import open_engine

async def main():
    await open_engine(Path(sys.argv[1]), None, max_model_len=256, top_k=5, tool_format="hermes")
    print("started", flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


def is_running(process: psutil.Process) -> bool:
    """A process that has ended and that nobody has asked for yet is not running."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("way", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_an_engine_ends_soon_after_the_process_that_started_it_was_killed(tmp_path: Path, way: str) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    with subprocess.Popen(
        [sys.executable, script, shipped("trusted"), way], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        try:
            assert driver.stdout.readline() == "started\n"
            engines = engines_of(driver.pid)
            assert engines
        finally:
            driver.kill()
    waited_until = time.monotonic() + 60
    while any(map(is_running, engines)) and time.monotonic() < waited_until:
        time.sleep(0.5)
    assert not any(map(is_running, engines))
