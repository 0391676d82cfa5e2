"""What a night comes to: the gate's checks with what people accepted, the positive control and the monitor."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from diffbehav.nightly.standing import Standing
from diffbehav.report.gate import Check, Gated, Result

ORDER: tuple[Result, ...] = ("invalid", "divergent", "inconclusive")


def renamed(
    found: Mapping[str, Any], gated: Gated, names: Mapping[str, str]
) -> tuple[dict[str, Any], Gated]:
    """Findings and gate with every fingerprint replaced that `names` has another for."""
    rows = [each | {"fingerprint": names.get(each["fingerprint"], each["fingerprint"])} for each in found["findings"]]
    findings = [replace(each, fingerprint=names.get(each.fingerprint, each.fingerprint)) for each in gated.findings]
    checks = [replace(check, name=names.get(check.name, check.name)) for check in gated.checks]
    return {**found, "findings": rows}, replace(gated, findings=findings, checks=checks)


def judged(
    gated: Gated, rows: Sequence[Standing], sentinels: Sequence[Mapping[str, Any]], *, canary: Mapping[str, Any] | None,
    alarms: Sequence[Mapping[str, Any]],
) -> Gated:  # fmt: skip
    """The gate with accepted findings and resolved sentinels quiet, the canary and the monitor among its checks."""
    accepted = {row.fingerprint: row.reason for row in rows if row.state == "accepted"}
    settled = {f"sentinel {number}": _settled(each, rows) for number, each in enumerate(sentinels, start=1)}
    excused = accepted | {name: reason for name, reason in settled.items() if reason is not None}
    checks = [_excused(check, excused) for check in gated.checks]
    checks += [*_canary(canary), _monitor(alarms)]
    found = {check.result for check in checks}
    failing = [each.id for each in gated.findings if each.id in gated.failing and each.fingerprint not in accepted]
    result: Result = next((each for each in ORDER if each in found), "passed")
    return replace(gated, result=result, checks=checks, failing=failing, accepted=accepted)


def _settled(sentinel: Mapping[str, Any], rows: Sequence[Standing]) -> str | None:
    """Why a sentinel may be undecided: everything known of its rule is accepted or resolved; None where it is not."""
    of_rule = [row for row in rows if sentinel["fingerprint"] == row.fingerprint or sentinel["rule"] == row.rule]
    quiet = of_rule and all(row.state in ("accepted", "resolved") for row in of_rule)
    return of_rule[0].reason if quiet else None


def _excused(check: Check, excused: Mapping[str, str]) -> Check:
    if check.name not in excused or check.result == "passed":
        return check
    return Check(check.name, "passed", f"{check.reason}; {excused[check.name]}")


def _canary(canary: Mapping[str, Any] | None) -> list[Check]:
    if canary is None:
        return []
    if canary["found"]:
        return [Check("canary", "passed", f"the planted canary was found: {canary['reason']}")]
    why = f"the planted canary was not found ({canary['reason']}), so what the search did not find says nothing"
    return [Check("canary", "inconclusive", why)]


def _monitor(alarms: Sequence[Mapping[str, Any]]) -> Check:
    if not alarms:
        return Check("monitor", "passed", "no level rises over the nights")
    named = ", ".join(f"{each['factor']} = {each['level']} since {each['rising_since']}" for each in alarms[:5])
    more = f" and {len(alarms) - 5} more" if len(alarms) > 5 else ""
    return Check("monitor", "divergent", f"levels that rise over the nights: {named}{more}")
