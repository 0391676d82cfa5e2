"""Which imports the pickles of a folder ask for, by picklescan. Nothing is unpickled."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.intake.confined import answer, confined
from diffbehav.intake.pickle_bytes import would_call

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".dill", ".zip")
"""Suffixes of files whose loaders unpickle."""
_TEXT = (".json", ".md", ".txt", ".md5", ".sha256")
"""Last suffixes of files about a file: pytorch_model.bin.index.json."""
_MAGIC = (
    *(b"\x80" + bytes([version]) for version in range(2, 6)), b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf", b"\x93NUMPY",
)  # fmt: skip
_COMPRESSED = (
    b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"]\x00\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18",
    b"x\x01", b"x\x9c", b"x\xda",
)  # fmt: skip
"""gzip, bzip2, xz, lzma, zstandard, lz4 and zlib, through which loaders read as if it were not there."""
_TAR = (257, b"ustar")


class PickleScan(NamedTuple):
    """The imports of one file, as `module.name`."""

    dangerous: Sequence[str]
    """Known to run code, or hidden from the scan."""
    unknown: Sequence[str]
    """On neither of picklescan's lists."""
    reason: str | None
    """Why the file was not scanned to its end; None where it was."""


def is_pickle(path: Path) -> bool:
    """Whether a file has a suffix, a beginning or a content of what loaders unpickle."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] not in _TEXT and any(suffix in PICKLED for suffix in suffixes):
        return True
    start = _beginning(path)
    place, tar = _TAR
    return start.startswith((*_MAGIC, *_COMPRESSED)) or start[place:].startswith(tar) or would_call(path)


def is_compressed(path: Path) -> bool:
    """Whether a file must be decompressed before its imports could be seen."""
    return _beginning(path).startswith(_COMPRESSED)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def scan_pickle(path: Path) -> PickleScan:
    """The imports of one file. It is read in a child process with limits."""
    done = confined("diffbehav.intake.pickles", {"path": str(path)})
    if not done.lines:
        return PickleScan((), (), done.stopped or "the scan gave no result")
    return PickleScan(**done.lines[0])


def work(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The fields of the PickleScan of one file."""
    from picklescan.scanner import SafetyLevel, scan_file_path

    try:
        result = scan_file_path(request["path"])
    except Exception as error:  # noqa: BLE001  a file made to break the scan may raise anything
        yield {"dangerous": [], "unknown": [], "reason": f"{type(error).__name__}: {error}"[:300]}
        return
    names = {level: sorted({f"{each.module}.{each.name}" for each in result.globals if each.safety == level})
             for level in SafetyLevel}  # fmt: skip
    yield {
        "dangerous": names[SafetyLevel.Dangerous],
        "unknown": names[SafetyLevel.Suspicious],
        "reason": "it is broken behind the first imports" if result.scan_err else None,
    }


if __name__ == "__main__":
    answer(work)
