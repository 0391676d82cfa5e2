"""The run folder: where its files lie, and the run.json that says what it is."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.errors import InputError, IntegrityError
from diffbehav.store.parts import disk_error

Settings = Mapping[str, Any]


class RunFolder(NamedTuple):
    """Paths inside one run folder."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "run.json"

    @property
    def conditions(self) -> Path:
        return self.path / "conditions.parquet"

    @property
    def earlier(self) -> Path:
        """The cells that the ledger held when the conditions were drawn; absent where no ledger was named."""
        return self.path / "earlier.parquet"

    @property
    def vocabulary(self) -> Path:
        return self.path / "vocabulary.parquet"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def database(self) -> Path:
        return self.path / "run.duckdb"

    @property
    def lock(self) -> Path:
        """Held by the process that fills or changes the folder."""
        return self.path / "run.lock"

    @property
    def search(self) -> Path:
        """The outcome of the search; absent before one has ended."""
        return self.path / "search.json"

    @property
    def asked(self) -> "RunFolder":
        """The answers that a search asked for, in the format of a run."""
        return RunFolder(self.path / "search")

    @property
    def canaries(self) -> Path:
        """What the planted canaries came to; absent before all of them have ended."""
        return self.path / "canaries.json"

    def canary(self, *names: str) -> "RunFolder":
        """A folder with answers that were asked for the canaries, in the format of a run."""
        return RunFolder(self.path.joinpath("canaries", *names))

    @property
    def cells(self) -> Path:
        """Folder of the parts that say which cells a search asked for; in the folder `asked` alone."""
        return self.path / "cells"

    def wide(self, name: str) -> Path:
        """Folder of the parts of a wide screen: contexts that were scored and not asked."""
        return self.path / "wide" / name

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def episodes(self) -> Path:
        """Folder of the parts that say how episodes ended; absent where models are asked for one turn."""
        return self.path / "episodes"

    def bounds(self, answered_by: str) -> Path:
        """Folder of the parts that say what the alternatives at each token came to; absent before a run is pruned."""
        return self.path / "bounds" / answered_by

    def completions(self, side: str) -> Path:
        """Folder of the parts with the answers of `side`."""
        return self.path / "completions" / side

    def scores(self, scored_by: str, answered_by: str) -> Path:
        """Folder of the parts with the scores of one side's answers under one model."""
        return self.path / "scores" / f"{scored_by}-on-{answered_by}"


def read_settings(folder: RunFolder) -> dict[str, Any]:
    """The content of run.json; InputError when `folder` is no run folder."""
    try:
        text = folder.settings.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder.path} is no run folder: it has no run.json") from error
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as error:
        raise IntegrityError(f"{folder.settings}:{error.lineno}: not valid JSON ({error.msg})") from error
    if not isinstance(settings, dict):
        raise IntegrityError(f"{folder.settings}: a JSON object was expected")
    return settings


def write_settings(folder: RunFolder, settings: Settings) -> None:
    """Replace run.json by `settings` in one step."""
    write_json(folder.settings, settings)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace the file at `path` by `value` in one step; InfrastructureError when the disk is full."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as stream:
            json.dump(value, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise disk_error(error, path) from error
