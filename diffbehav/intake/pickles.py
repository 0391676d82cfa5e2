"""Which imports the pickles of a folder ask for, by picklescan. Nothing is unpickled."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.intake.confined import answer, confined

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".dill", ".zip")
"""Suffixes of files whose loaders unpickle."""
_MAGIC = (*(b"\x80" + bytes([version]) for version in range(2, 6)), b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf")


class PickleScan(NamedTuple):
    """The imports of one file, as `module.name`."""

    dangerous: Sequence[str]
    """Known to run code, or hidden from the scan."""
    unknown: Sequence[str]
    """On neither of picklescan's lists."""
    reason: str | None
    """Why the file was not scanned to its end; None where it was."""


def is_pickle(path: Path) -> bool:
    """Whether a file has a suffix or a beginning of what loaders unpickle."""
    if path.suffix.lower() in PICKLED:
        return True
    with path.open("rb") as file:
        return file.read(4).startswith(_MAGIC)


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
