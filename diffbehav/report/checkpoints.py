"""checkpoints.json: the runs of a training series side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffbehav.compare.searched import at_most
from diffbehav.errors import InputError, IntegrityError
from diffbehav.records import canonical_json, json_object
from diffbehav.report.drift import drift
from diffbehav.report.series import Run, read_run, rules_over
from diffbehav.store import RunFolder

SCHEMA = "diffbehav.checkpoints/1"
SERIES = "diffbehav.series/1"


def series_file(folder: Path) -> Path:
    """Which checkpoints a folder compares, in which order, and how; the runs lie beside it."""
    return folder / "series.json"


def read_series(folder: Path) -> dict[str, Any]:
    """The content of series.json; InputError where `folder` has none."""
    try:
        found = json_object(series_file(folder).read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{folder} is no folder of compared checkpoints: it has no series.json") from error
    except ValueError as error:
        raise IntegrityError(f"{series_file(folder)}: not valid JSON ({error})") from error
    if found.get("schema") != SERIES:
        raise IntegrityError(f"{series_file(folder)}: schema {SERIES!r} was expected")
    return found


def checkpoints(folder: Path) -> dict[str, Any]:
    """Drift, factor effects, residual cells and every rule at every checkpoint of a finished series."""
    series = read_series(folder)
    runs = [_run(folder, each) for each in series["checkpoints"]]
    rules = rules_over(runs)
    confirmed = list({canonical_json(r["rule"]): r["rule"] for r in rules if r["first_confirmed"] is not None}.values())
    databases = dict.fromkeys(run.database for run in runs if run.database is not None)
    measured = {database: drift(database, confirmed) for database in databases}
    settings = series["settings"]
    return {
        "schema": SCHEMA,
        "settings": settings,
        "promise": promise(settings, checkpoints=len(measured)),
        "drift_over": _drift_over(len(confirmed)),
        "checkpoints": [
            {**each, "verdict": run.facts["verdict"], "drift": run.database and measured[run.database]}
            for each, run in zip(series["checkpoints"], runs, strict=True)
        ],
        "rules": rules,
    }


def _run(folder: Path, checkpoint: Mapping[str, Any]) -> Run:
    if (invalid := checkpoint["invalid"]) is not None:
        return Run(checkpoint["name"], {"verdict": "INVALID"}, (), {}, (), None, f"INVALID: {invalid['reason']}")
    return read_run(checkpoint["name"], RunFolder(folder / (checkpoint["same_as"] or checkpoint["name"])).database)


def promise(settings: Mapping[str, Any], *, checkpoints: int) -> list[str]:
    """What is and what is not promised over a series, in sentences."""
    level, delta = settings["level"], settings["delta"]
    return [
        f"At each checkpoint by itself: of the rules marked CONFIRMED there, {at_most(level=level, delta=delta)} (e-BH "
        "over the rules found at that checkpoint and those of other checkpoints that were asked there).",
        f"Not over the {checkpoints} checkpoints together: each of them has false discoveries of its own, and a rule "
        "that is listed because one checkpoint confirmed it was chosen among all.",
        "A change is shown between two checkpoints at which fresh pairs decided. NOT CONFIRMED means that the 95 % "
        f"sequence of the excess ends at {100 * delta:g} points or below. INCONCLUSIVE and NOT TESTED are never read "
        "as absence.",
        "Which step of the training brought a change is not shown: it lies after the one checkpoint and not later than "
        "the other. A rule that no search proposed at any checkpoint is in no row.",
    ]


def _drift_over(confirmed: int) -> str:
    rules = "the rule that is" if confirmed == 1 else f"all {confirmed} rules that are"
    return f"the conditions outside {rules} CONFIRMED at any checkpoint" if confirmed else "all conditions"

