"""One night: everything from the plan to the notification, resumable at every stage, with one exit code."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from diffbehav.errors import DiffbehavError, InfrastructureError, IntegrityError, Interrupted
from diffbehav.nightly.changes import changes, first_red
from diffbehav.nightly.folder import (
    SCHEMA,
    Night,
    NightFolder,
    NightsFolder,
    append_line,
    read_lines,
    read_night,
    read_object,
)
from diffbehav.nightly.judge import judged, renamed
from diffbehav.nightly.markdown import night_page
from diffbehav.nightly.notify import error_message, night_message, tell
from diffbehav.nightly.plan import Tonight, plan_night
from diffbehav.nightly.stages import fill
from diffbehav.nightly.standing import known_findings, lineage, standings
from diffbehav.nightly.triage import read_acceptances
from diffbehav.report import findings_json, gate, monitor, write_gated, write_report, write_sums
from diffbehav.report.gate import Gated
from diffbehav.report.sums import NIGHT
from diffbehav.serve import VLLM, Serving
from diffbehav.stopping import Stop, stoppable
from diffbehav.store import disk_error, write_json
from diffbehav.store.lock import held
from diffbehav.suite import Nightly
from diffbehav.terminal import Terminal

GOES_ON = timedelta(hours=18)
"""A night that was interrupted is continued after midnight, but not in place of the next night."""


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Outside:
    """What a night takes from outside its files."""

    now: Callable[[], datetime] = _utc
    serving: Serving = VLLM


def run_night(config: Nightly, nights: NightsFolder, *, terminal: Terminal, outside: Outside) -> Night:
    """Finish tonight's night in the folder of the `nights`, or read it where it is finished.

    InfrastructureError where another process is at it, Interrupted after SIGTERM; the same call goes on from there.
    """
    at_work = "another night is at work in this folder"
    with held(nights.lock, at_work=at_work, now=outside.now()), stoppable() as stop:
        day = _day(nights, outside.now())
        folder = nights.night(day)
        if folder.night.is_file():
            terminal.stage(f"the night of {day} is finished already: {folder.path}")
        else:
            try:
                _finish(config, nights, day, terminal=terminal, outside=outside, stop=stop)
            except Interrupted:
                raise
            except Exception as error:
                code = error.exit_code if isinstance(error, DiffbehavError) else DiffbehavError.exit_code
                _announce_error(config, nights, day, code, terminal=terminal, now=outside.now())
                raise
        night = read_night(folder)
        if not folder.notified.is_file():
            _announce(config, nights, folder, night, terminal=terminal)
        return night


def _day(nights: NightsFolder, now: datetime) -> date:
    """The UTC date of the night to work on."""
    begun = nights.begun()
    if begun and begun[-1] > now.date():
        raise InfrastructureError(
            f"the clock says {now.date()}, and {nights.path} has a night of {begun[-1]}: set the clock of this "
            "machine, or, where it was wrong then, move that night's folder away"
        )
    if begun and not (last := nights.night(begun[-1])).night.is_file():
        began = datetime.fromisoformat(read_object(last.begun)["began"])
        if now - began < GOES_ON:
            return begun[-1]
    return now.date()


def _finish(
    config: Nightly, nights: NightsFolder, day: date, *, terminal: Terminal, outside: Outside, stop: Stop
) -> None:
    folder, earlier = nights.night(day), nights.nights(before=day)
    began = _began(folder, config, outside.now())
    tonight = plan_night(config, folder, earlier=earlier, began=began, terminal=terminal)
    terminal.stage(f"night of {day}: {tonight.conditions:,} conditions, {len(earlier)} earlier nights")
    begun = {"began": began.isoformat(timespec="seconds"), "config_digest": config.digest}
    write_json(folder.begun, {"schema": "diffbehav.begun/1", "date": day.isoformat(), **begun})
    canary = fill(tonight, folder, serving=outside.serving, terminal=terminal, stop=stop)
    night, gated = _judged(config, nights, day, earlier, tonight, canary)
    night |= {"began": begun["began"], "finished": outside.now().isoformat(timespec="seconds")}
    terminal.stage(f"writing {folder.run.report}")
    page = next(path for path in write_report(folder.path, folder.run.report) if path.name == "report.md")
    write_gated(gated, junit_file=folder.run.report / "junit.xml", sarif_file=folder.run.report / "findings.sarif")
    content = night_page(night, earlier, page.read_text(encoding="utf-8"), link=config.file.link)
    _write(folder.run.report / NIGHT, content)
    write_sums(folder.run.report)
    write_json(folder.night, night)


def _began(folder: NightFolder, config: Nightly, now: datetime) -> datetime:
    """When the night began; IntegrityError where that was with another configuration."""
    if not folder.begun.is_file():
        return now
    begun = read_object(folder.begun)
    if begun["config_digest"] != config.digest:
        raise IntegrityError(
            f"{folder.path} was begun with another content of {config.source.name}; restore it, or move the folder "
            "away and begin the night anew"
        )
    return datetime.fromisoformat(begun["began"])


def _judged(
    config: Nightly, nights: NightsFolder, day: date, earlier: Sequence[Night], tonight: Tonight,
    canary: dict[str, Any] | None,
) -> tuple[dict[str, Any], Gated]:  # fmt: skip
    folder = nights.night(day)
    found, gated = findings_json(folder.path), gate(folder.path, config.gate)
    found, gated = renamed(found, gated, lineage(found, earlier))
    failing = [each.fingerprint for each in gated.findings if each.id in gated.failing]
    rows = standings(
        found, failing=failing, earlier=earlier, decided=read_acceptances(nights), today=day,
        detects=canary is None or bool(canary["found"]),
    )  # fmt: skip
    known = {**known_findings(earlier), **{row.fingerprint: row.as_json() for row in rows}}
    watched = [nights.path / night["date"] for night in earlier]
    monitored = monitor(
        [*(path for path in watched if NightFolder(path).run.database.is_file()), folder.path], arl=config.file.arl,
        beside=[row["rule"] for row in known.values() if row["confirmed"]],
    )  # fmt: skip
    at = monitored["alarm_at_log10_m"]
    alarms = [level for level in monitored["levels"] if level["log10_m"][-1] >= at]
    gated = judged(gated, rows, found["sentinels"], canary=canary, alarms=alarms)
    shown = ("factor", "level", "alarm_since", "rising_since")
    highest = max((level["log10_m"][-1] for level in monitored["levels"]), default=None)
    night: dict[str, Any] = {
        "schema": SCHEMA,
        "date": day.isoformat(),
        "suite": monitored["suite"],
        "suite_digest": tonight.suite_digest,
        "trusted_digest": tonight.trusted_digest,
        "candidate_digest": tonight.candidate_digest,
        "baseline": tonight.baseline,
        "config_digest": config.digest,
        "verdict": found["verdict"],
        "result": gated.result,
        "exit_code": gated.exit_code,
        "conditions": monitored["nights"][-1]["conditions"],
        "checks": [asdict(check) for check in gated.checks],
        "findings": [row.as_json() for row in rows],
        "canary": canary,
        "monitor": {
            "alarms": [{name: level[name] for name in shown} for level in alarms], "alarm_at_log10_m": at,
            "highest_log10_m": highest, "nights": len(monitored["nights"]),
        },
    }  # fmt: skip
    last = earlier[-1] if earlier else None
    return night | {"changes": changes(night, last, read_lines(nights.journal))}, gated


def _announce(
    config: Nightly, nights: NightsFolder, folder: NightFolder, night: Night, *, terminal: Terminal
) -> None:
    """Enter the night in the journal and tell who is to be told; what could not be told is reported and no error."""
    _link(nights.latest, folder.path.name)
    line = {"date": night["date"], "at": night["finished"], "exit_code": night["exit_code"], "result": night["result"]}
    if line not in read_lines(nights.journal):
        append_line(nights.journal, line)
    told = tell(night_message(night, folder.path, config.file.link), config.file.notify) if night["changes"] else []
    _report(told, terminal)
    write_json(folder.notified, {"schema": "diffbehav.notified/1", "changes": night["changes"], "told": told})


def _announce_error(
    config: Nightly, nights: NightsFolder, day: date, exit_code: int, *, terminal: Terminal, now: datetime
) -> None:
    journal: Sequence[Mapping[str, Any]] = ()
    line = {"date": day.isoformat(), "at": now.isoformat(timespec="seconds"), "exit_code": exit_code, "result": "error"}
    try:
        journal = read_lines(nights.journal)
        append_line(nights.journal, line)
    except (InfrastructureError, IntegrityError) as error:
        terminal.error(str(error))
    if first_red(exit_code, journal):
        message = error_message(day.isoformat(), exit_code, nights.night(day).path, config.file.link)
        _report(tell(message, config.file.notify), terminal)


def _report(told: Sequence[dict[str, Any]], terminal: Terminal) -> None:
    for each in told:
        if each["error"] is None:
            terminal.stage(f"told {each['to']}")
        else:
            terminal.error(f"{each['to']} was not told: {each['error']}; the night keeps its exit code")


def _link(latest: Path, name: str) -> None:
    temporary = latest.with_name(f"{latest.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        os.symlink(name, temporary)
        temporary.replace(latest)
    except OSError as error:
        raise disk_error(error, latest) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise disk_error(error, path) from error
