"""The runs below a folder, one line each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffbehav.records import model_name
from diffbehav.report.query import querying
from diffbehav.store import RunFolder, read_settings

NOT_COMPARED = "not compared yet"


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """Every run folder at or below `folder`, oldest first."""
    return sorted(_runs(folder), key=lambda row: (row["created"], row["run"]))


def _runs(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.rglob("run.json"):
        run = RunFolder(path.parent)
        settings = read_settings(run)
        compared = _compared(run) if run.database.exists() else (NOT_COMPARED, None)
        yield {
            "run": str(run.path),
            "created": settings["created"],
            "suite": f"{settings['suite']['id']}@{settings['suite']['version']}",
            "candidate": model_name(settings["sides"]["candidate"]),
            "conditions": settings.get("collected", {}).get("conditions", "unfinished"),
            "bytes_per_condition": settings.get("collected", {}).get("bytes_per_condition"),
            "verdict": compared[0],
            "findings": compared[1],
        }


def _compared(run: RunFolder) -> tuple[str, int]:
    with querying(run.database) as query:
        (verdict,) = query("SELECT value FROM run WHERE key = 'verdict'")[0]
        (count,) = query("SELECT count(*) FROM findings")[0]
    return verdict.strip('"'), count
