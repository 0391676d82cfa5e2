"""The folder of the nights: a run folder per UTC date, and beside them lock, triage and journal."""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from diffbehav.errors import IntegrityError
from diffbehav.records import json_object
from diffbehav.store import RunFolder, disk_error

SCHEMA = "diffbehav.night/1"
Night = Mapping[str, Any]
"""The content of a night.json."""


class NightFolder(NamedTuple):
    """One night: a run folder with what makes it a night."""

    path: Path

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def begun(self) -> Path:
        """When and with which configuration it began."""
        return self.path / "begun.json"

    @property
    def night(self) -> Path:
        """The result; absent before the night is finished."""
        return self.path / "night.json"

    @property
    def notified(self) -> Path:
        """Who was told of it; absent before that was tried."""
        return self.path / "notified.json"


class NightsFolder(NamedTuple):
    """Paths inside the folder of the nights."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "nightly.lock"

    @property
    def triage(self) -> Path:
        return self.path / "triage.jsonl"

    @property
    def journal(self) -> Path:
        """A line for every time that a night ended, with a result or with an error."""
        return self.path / "nights.jsonl"

    @property
    def latest(self) -> Path:
        """A link to the last finished night."""
        return self.path / "latest"

    def night(self, day: date) -> NightFolder:
        return NightFolder(self.path / day.isoformat())

    def begun(self) -> list[date]:
        """The dates of nights that have begun, oldest first."""
        return sorted(day for day in self._dates() if self.night(day).begun.is_file())

    def nights(self, *, before: date | None = None) -> list[Night]:
        """The finished nights, oldest first; those `before` a date only."""
        days = [day for day in self.begun() if before is None or day < before]
        return [read_night(self.night(day)) for day in days if self.night(day).night.is_file()]

    def _dates(self) -> Iterator[date]:
        for path in self.path.glob("????-??-??"):
            try:
                yield date.fromisoformat(path.name)
            except ValueError:
                continue


def read_night(folder: NightFolder) -> dict[str, Any]:
    """The content of night.json; IntegrityError where it is damaged."""
    night = read_object(folder.night)
    if night.get("schema") != SCHEMA:
        raise IntegrityError(f"{folder.night}: schema is {night.get('schema')!r}, {SCHEMA!r} was expected")
    return night


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; IntegrityError where there is none."""
    try:
        return json_object(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path} is damaged ({error}); move its night away and repeat the command") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; none where there is no file, IntegrityError names a damaged line."""
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            found.append(json_object(line))
        except ValueError as error:
            raise IntegrityError(f"{path}:{number}: not valid JSON ({error}); restore the line") from error
    return found


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Add one object to a JSON-lines file; InfrastructureError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(value) + "\n")
    except OSError as error:
        raise disk_error(error, path) from error
