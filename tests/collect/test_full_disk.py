"""A run whose disk fills stops with the reason, and goes on when there is room."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from diffbehav.errors import InfrastructureError
from tests.collect.test_feed import ROOT, stored, undisturbed

__all__ = ["undisturbed"]
LARGEST = 24 << 10
"""Bytes: between the parts with answers and those with scores."""


def collect(folder: Path, before: Callable[[], None] | None = None) -> tuple[int, str]:
    """Exit code of collecting in a process of its own, and what it says."""
    words = [sys.executable, "-m", "tests.collect.toy_run", str(folder)]
    done = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=300, preexec_fn=before)
    return done.returncode, done.stderr


def assert_stopped_and_goes_on(folder: Path, stopped: tuple[int, str], reason: str, expected: dict) -> None:
    code, said = stopped
    assert code == InfrastructureError.exit_code and reason in said and len(said.splitlines()) == 1
    assert not list(folder.rglob("*.tmp"))
    assert collect(folder) == (0, "")
    found = stored(folder)
    assert found.keys() == expected.keys()
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame)


def test_a_file_that_may_not_grow_stops_the_run_and_the_same_command_goes_on(tmp_path: Path, undisturbed: dict) -> None:
    collect(tmp_path / "planned")
    (tmp_path / "run").mkdir()
    (tmp_path / "planned" / "conditions.parquet").rename(tmp_path / "run" / "conditions.parquet")
    stopped = collect(tmp_path / "run", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST)))
    assert_stopped_and_goes_on(tmp_path / "run", stopped, "could not be written: File too large", undisturbed)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_stops_the_run_with_all_that_was_whole_and_the_same_command_goes_on(
    tmp_path: Path, undisturbed: dict
) -> None:
    whole = tmp_path / "whole"
    collect(whole)
    size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, f"size={size * 3 // 4}", "none", str(small)], check=False).returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        stopped = collect(small)
        assert stored(small)
        subprocess.run([*mount, f"remount,size={4 * size}", str(small)], check=True)
        assert_stopped_and_goes_on(small, stopped, "the disk is full", undisturbed)
    finally:
        subprocess.run(["umount", str(small)], check=True)
