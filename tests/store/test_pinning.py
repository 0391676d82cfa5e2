"""From a run to a baseline: whole or not at all, signed, and with its history."""

import json
import signal
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from diffbehav.errors import InfrastructureError, InputError, IntegrityError
from diffbehav.store import (
    BaselineFolder,
    RunFolder,
    Signed,
    check_whole,
    expire,
    part_path,
    pin,
    present,
    promote,
    read_manifest,
    read_settings,
    write_settings,
)
from tests.store.pinnable import LATER, LIMIT, SIGNED

KILLED = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from diffbehav.store import BaselineFolder, RunFolder, Signed, pin, promote
what, run, folder, size = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
make = {"pin": pin, "promote": promote}[what]
make(RunFolder(Path(run)), BaselineFolder(Path(folder)), signed=Signed("a", "b", datetime.now(UTC)), expires=None)
"""
"""Ended by the kernel, with no chance to clean up, where it writes the first byte behind `size` of a file."""


def killed(what: str, run: RunFolder, folder: BaselineFolder) -> None:
    size = part_path(run.scores("trusted", "trusted"), 0).stat().st_size - 1
    command = [sys.executable, "-c", KILLED, what, str(run.path), str(folder.path), str(size)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -signal.SIGXFSZ, done.stderr


def test_a_pin_says_who_why_when_until_and_of_what(finished: RunFolder, tmp_path: Path) -> None:
    folder = BaselineFolder(tmp_path / "base")
    made = pin(finished, folder, signed=SIGNED, expires=date(2027, 1, 31))
    assert made == read_manifest(folder)
    assert made["pinned"] == {"by": "Ann", "why": "the model of the release", "at": "2026-03-01T12:00:00+00:00"}
    assert (made["expires"], made["expired"], made["generation"], made["history"]) == ("2027-01-31", None, 1, [])
    assert made["conditions"] == made["answers"] == LIMIT
    assert set(made["digests"]) == {"weights", "model", "tokenizer", "template", "suite", "engine"}


def test_a_baseline_remembers_what_its_own_run_had_found_and_not_what_that_refuted(
    run: RunFolder, tmp_path: Path
) -> None:
    with duckdb.connect(str(run.database)) as connection:
        for rank, status in enumerate(("CONFIRMED", "NOT CONFIRMED", "NOT TESTED"), start=1):
            row = [rank, json.dumps({"year": [str(rank)]}), str(rank) * 64, status, "high"]
            connection.execute("INSERT INTO findings VALUES ($1, $2, $3, $4, $5)", row)
    found = pin(run, BaselineFolder(tmp_path / "base"), signed=SIGNED, expires=None)["found"]
    assert found["candidate"] == "base"
    assert [(each["rule"], each["status"]) for each in found["findings"]] == [
        ({"year": ["1"]}, "CONFIRMED"), ({"year": ["3"]}, "NOT TESTED")
    ]  # fmt: skip


def test_a_killed_pin_leaves_no_baseline_and_the_next_one_is_whole(finished: RunFolder, tmp_path: Path) -> None:
    folder = BaselineFolder(tmp_path / "base")
    killed("pin", finished, folder)
    assert not folder.path.exists()
    check_whole(folder, pin(finished, folder, signed=SIGNED, expires=None))
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_killed_promotion_leaves_the_former_generation_whole(
    pinned: BaselineFolder, second: RunFolder
) -> None:
    before = read_manifest(pinned)
    killed("promote", second, pinned)
    assert read_manifest(pinned) == before
    check_whole(pinned, before)
    check_whole(pinned, promote(second, pinned, signed=LATER, expires=None))
    assert sorted(path.name for path in pinned.path.iterdir()) == ["baseline.json", "generation-2"]


def test_a_disk_that_cannot_be_written_leaves_nothing_behind(finished: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(InfrastructureError, match="could not be written"):
        pin(finished, BaselineFolder(tmp_path / "file" / "base"), signed=SIGNED, expires=None)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_promotion_replaces_the_answers_and_keeps_who_and_why_and_the_digests(
    pinned: BaselineFolder, second: RunFolder, finished: RunFolder
) -> None:
    first = read_manifest(pinned)
    made = promote(second, pinned, signed=LATER, expires=date(2027, 1, 1))
    assert made == read_manifest(pinned)
    check_whole(pinned, made)
    assert (made["generation"], made["pinned"]["by"], made["expires"]) == (2, "Bob", "2027-01-01")
    (former,) = made["history"]
    assert former == {"run_id": "first"} | {
        key: first[key]
        for key in ("generation", "digest", "pinned", "expires", "expired", "digests", "conditions", "answers")
    }
    answers = part_path(present(pinned, made).completions("trusted"), 0)
    assert answers.read_bytes() == part_path(second.completions("trusted"), 0).read_bytes()
    third = promote(finished, pinned, signed=SIGNED, expires=None)
    assert [each["generation"] for each in third["history"]] == [1, 2]
    assert third["digests"] == first["digests"] != made["digests"]


def test_an_expired_baseline_says_who_and_why_and_only_a_promotion_revives_it(
    pinned: BaselineFolder, second: RunFolder
) -> None:
    expire(pinned, signed=LATER)
    assert read_manifest(pinned)["expired"] == {"by": "Bob", "why": LATER.why, "at": "2026-06-01T12:00:00+00:00"}
    with pytest.raises(InputError, match="was expired already"):
        expire(pinned, signed=LATER)
    made = promote(second, pinned, signed=LATER, expires=None)
    assert made["expired"] is None
    assert made["history"][0]["expired"]["by"] == "Bob"


@pytest.mark.parametrize(("by", "why"), [("", "why"), (" \t", "why"), ("by", ""), ("by", "\n")])
def test_nobody_and_no_reason_are_refused(by: str, why: str) -> None:
    with pytest.raises(InputError, match="is empty"):
        Signed(by, why, datetime.now(UTC))


def change(run: RunFolder, **changed: Any) -> None:
    write_settings(run, read_settings(run) | changed)


def test_an_unfinished_run_is_refused(run: RunFolder, tmp_path: Path) -> None:
    settings = read_settings(run)
    del settings["collected"]
    write_settings(run, settings)
    with pytest.raises(InputError, match="is not finished"):
        pin(run, BaselineFolder(tmp_path / "base"), signed=SIGNED, expires=None)


def test_a_run_that_replayed_its_trusted_side_is_refused(run: RunFolder, tmp_path: Path) -> None:
    sides = read_settings(run)["sides"]
    change(run, sides=sides | {"trusted": sides["trusted"] | {"replayed": "base"}})
    with pytest.raises(InputError, match="were replayed"):
        pin(run, BaselineFolder(tmp_path / "base"), signed=SIGNED, expires=None)


def test_an_invalid_run_neither_makes_a_baseline_nor_replaces_one(
    run: RunFolder, pinned: BaselineFolder, tmp_path: Path
) -> None:
    before = read_manifest(pinned)
    with duckdb.connect(str(run.database)) as connection:
        connection.execute("UPDATE run SET value = $1", [json.dumps("INVALID")])
    with pytest.raises(IntegrityError, match="verdict is INVALID"):
        pin(run, BaselineFolder(tmp_path / "base"), signed=SIGNED, expires=None)
    with pytest.raises(IntegrityError, match="verdict is INVALID"):
        promote(run, pinned, signed=LATER, expires=None)
    check_whole(pinned, before)
    assert read_manifest(pinned) == before


@pytest.mark.parametrize("lost", ["completions/trusted", "completions/replicate", "scores/trusted-on-trusted"])
def test_a_run_that_lacks_a_part_or_whose_part_is_cut_is_refused_and_leaves_nothing(
    run: RunFolder, tmp_path: Path, lost: str
) -> None:
    folder = BaselineFolder(tmp_path / "baselines" / "base")
    part = part_path(run.path / lost, 1)
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match=r"part-000001\.parquet"):
        pin(run, folder, signed=SIGNED, expires=None)
    part.unlink()
    with pytest.raises(IntegrityError, match=r"part-000001\.parquet"):
        pin(run, folder, signed=SIGNED, expires=None)
    assert not folder.path.parent.exists() or not list(folder.path.parent.iterdir())


def test_a_run_with_fewer_answers_than_it_asked_for_is_refused(run: RunFolder, tmp_path: Path) -> None:
    change(run, sampling=read_settings(run)["sampling"] | {"n": 2})
    with pytest.raises(IntegrityError, match="holds 140 of 280 trusted answers"):
        pin(run, BaselineFolder(tmp_path / "base"), signed=SIGNED, expires=None)


def test_a_baseline_is_not_pinned_over_another_one(pinned: BaselineFolder, second: RunFolder) -> None:
    with pytest.raises(InputError, match="baseline promote"):
        pin(second, pinned, signed=LATER, expires=None)


@pytest.mark.parametrize("name", [".hidden", "a b", "näme", "\x1b[31m"])
def test_a_name_that_is_no_file_name_everywhere_is_refused(finished: RunFolder, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a baseline"):
        pin(finished, BaselineFolder(tmp_path / name), signed=SIGNED, expires=None)


@pytest.mark.parametrize("day", [date(2026, 3, 1), date(2020, 1, 1)])
def test_a_baseline_that_would_be_stale_at_once_is_refused(finished: RunFolder, tmp_path: Path, day: date) -> None:
    with pytest.raises(InputError, match=f"--expires {day}"):
        pin(finished, BaselineFolder(tmp_path / "base"), signed=SIGNED, expires=day)
