"""What was pinned is found whole, and nothing else passes for it."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffbehav.errors import InputError, IntegrityError
from diffbehav.store import BaselineFolder, RunFolder, check_whole, faults, pin, present, read_manifest
from tests.store.pinnable import SIGNED

ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)


def files_of(folder: BaselineFolder) -> list[str]:
    return sorted(path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file())


def flip(path: Path, position: int, mask: int) -> None:
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= mask
    path.write_bytes(content)


def test_a_baseline_holds_the_trusted_side_and_no_database_and_nothing_of_the_candidate(
    pinned: BaselineFolder, finished: RunFolder
) -> None:
    names = files_of(pinned)
    kinds = {name.rsplit("/", 1)[0] for name in names}
    stored = "generation-1"
    folders = ("completions/trusted", "completions/replicate", "scores/trusted-on-trusted")
    assert kinds - {"baseline.json"} == {stored, *(f"{stored}/{folder}" for folder in folders)}
    assert {name for name in names if name.count("/") == 1} == {f"{stored}/conditions.parquet"}
    for name in names:
        if name != "baseline.json":
            assert (pinned.path / name).read_bytes() == (finished.path / name.removeprefix(f"{stored}/")).read_bytes()


def test_a_manifest_names_no_place_and_no_machine(pinned: BaselineFolder, finished: RunFolder) -> None:
    text = pinned.manifest.read_text(encoding="utf-8")
    assert str(finished.path.parent) not in text and "machine-of-ann" not in text
    assert read_manifest(pinned)["run"]["sides"]["trusted"]["path"] == "base"


def test_every_file_is_declared_and_a_baseline_that_was_moved_is_still_whole(
    pinned: BaselineFolder, tmp_path: Path
) -> None:
    moved = BaselineFolder(Path(shutil.move(pinned.path, tmp_path / "elsewhere")))
    manifest = read_manifest(moved)
    assert sorted([*manifest["files"], "baseline.json"]) == files_of(moved)
    assert faults(moved, manifest) == []
    check_whole(moved, manifest)


def test_one_flipped_byte_in_any_file_is_caught_and_the_file_named(pinned: BaselineFolder) -> None:
    assert len(files_of(pinned)) == 8
    for name in files_of(pinned):
        path = pinned.path / name
        before = path.read_bytes()
        for position in (0, len(before) // 3, len(before) // 2, len(before) - 1):
            flip(path, position, 1)
            with pytest.raises(IntegrityError, match=name):
                check_whole(pinned, read_manifest(pinned))
            path.write_bytes(before)
    check_whole(pinned, read_manifest(pinned))


@ONCE
@given(position=st.integers(min_value=0), mask=st.integers(1, 255))
def test_no_byte_of_the_manifest_can_be_another(pinned: BaselineFolder, position: int, mask: int) -> None:
    before = pinned.manifest.read_bytes()
    flip(pinned.manifest, position, mask)
    try:
        with pytest.raises(IntegrityError, match=r"baseline\.json"):
            read_manifest(pinned)
    finally:
        pinned.manifest.write_bytes(before)


def test_a_blank_of_the_manifest_that_became_another_blank_is_caught(pinned: BaselineFolder) -> None:
    before = pinned.manifest.read_bytes()
    for old, new in ((b"\n ", b"\n\t"), (b'": ', b'":\n'), (b",\n", b",\r")):
        pinned.manifest.write_bytes(before.replace(old, new, 1))
        with pytest.raises(IntegrityError, match="its bytes are not those"):
            read_manifest(pinned)


def test_a_missing_and_an_added_file_are_named(pinned: BaselineFolder) -> None:
    manifest = read_manifest(pinned)
    stored = present(pinned, manifest)
    (stored.completions("trusted") / "part-000001.parquet").unlink()
    (stored.completions("trusted") / "part-000009.parquet").write_bytes(b"more answers")
    assert [fault.file.rsplit("/", 1)[1] + " " + fault.what for fault in faults(pinned, manifest)] == [
        "part-000001.parquet is missing",
        "part-000009.parquet is not in the manifest",
    ]


def test_a_manifest_whose_digests_are_not_those_of_its_content_is_caught(
    pinned: BaselineFolder, finished: RunFolder, tmp_path: Path
) -> None:
    manifest = read_manifest(pinned)
    assert faults(pinned, manifest | {"digests": manifest["digests"] | {"weights": "0" * 64}}) == [
        ("baseline.json", f"declares weights {'0' * 64}, its content has {manifest['digests']['weights']}")
    ]
    other = BaselineFolder(tmp_path / "other")
    pin(finished, other, signed=SIGNED, expires=None)
    assert read_manifest(other)["digests"] == manifest["digests"]


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"schema": "diffbehav.baseline/1"}', "\ud83d", "{"])
def test_what_is_no_manifest_is_refused_and_named(pinned: BaselineFolder, content: str) -> None:
    pinned.manifest.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(IntegrityError, match=r"baseline\.json was changed"):
        read_manifest(pinned)


def test_a_folder_without_a_manifest_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no baseline"):
        read_manifest(BaselineFolder(tmp_path))


def test_a_manifest_is_plain_ascii_json(pinned: BaselineFolder) -> None:
    assert json.loads(pinned.manifest.read_bytes().decode("ascii"))["schema"] == "diffbehav.baseline/1"
