"""How the findings of tonight stand against those of earlier nights: new, persisting, resolved, accepted, undecided."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from diffbehav.errors import InputError
from diffbehav.nightly.folder import Night
from diffbehav.nightly.triage import SEVERITIES, Acceptance

State = Literal["new", "persisting", "resolved", "accepted", "undecided"]
TITLES: Mapping[State, str] = {
    "new": "not found on an earlier night, or resolved since",
    "persisting": "found on an earlier night, too",
    "resolved": "CONFIRMED on an earlier night, asked again and NOT CONFIRMED",
    "accepted": "accepted by a person until a date",
    "undecided": "found on an earlier night, and tonight could not say",
}
PRESENT = ("new", "persisting", "accepted")
LEAST_NAMED = 8
"""Characters of a fingerprint that may name it where they are enough."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One finding over the nights."""

    fingerprint: str
    rule: Mapping[str, Any]
    beside: Sequence[Mapping[str, Any]]
    """Rules outside of which it was tested."""
    kind: str
    severity: str | None
    """None where it could not be derived."""
    status: str
    """Tonight's; of a rule that was asked as a sentinel, the sentinel's."""
    state: State
    reason: str
    """In words, without model text."""
    first_seen: str
    """Date of the first night that had it."""
    confirmed: bool
    """Whether this or an earlier night confirmed it."""
    fails: bool
    """Whether it fails tonight's gate."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def standings(
    found: Mapping[str, Any], *, failing: Sequence[str], earlier: Sequence[Night], decided: Mapping[str, Acceptance],
    today: date, detects: bool,
) -> list[Standing]:  # fmt: skip
    """How everything stands: what tonight's run confirmed or its gate fails, then what earlier nights had.

    `found` is the JSON of tonight's findings, `failing` the fingerprints beyond the gate, before any acceptance. Where
    the night missed its canary (not `detects`), a rule that it did not confirm again is not resolved.
    """
    known = known_findings(earlier)
    counted: dict[str, Mapping[str, Any]] = {}
    for each in found["findings"]:
        if each["status"] == "CONFIRMED" or each["fingerprint"] in failing:
            counted.setdefault(each["fingerprint"], each | {"severity": _severity(each, found)})
    rows = [_present(each, known, failing, decided, today) for each in counted.values()]
    return [*rows, *_absent(found, counted, known, earlier, decided, today, detects)]


def lineage(found: Mapping[str, Any], earlier: Sequence[Night]) -> dict[str, str]:
    """Fingerprint of tonight -> that under which earlier nights know the same rule, where the two differ.

    The kind of difference is part of a fingerprint and may change from night to night under one rule. What an
    acceptance must not cover, a graver effect, shows in the severity. Where a rule has two fingerprints, tonight or on
    earlier nights, all keep their own: neither of two is what became of the other.
    """
    former: dict[str, list[str]] = {}
    for print_, row in known_findings(earlier).items():
        former.setdefault(_words(row["rule"]), []).append(print_)
    words = {each["fingerprint"]: _words(each["rule"]) for each in found["findings"]}
    often = Counter(_words(each["rule"]) for each in found["findings"])
    known = {fresh: former[rule][0] for fresh, rule in words.items() if often[rule] == len(former.get(rule, ())) == 1}
    return {fresh: old for fresh, old in known.items() if old not in words}


def _words(rule: Mapping[str, Any]) -> str:
    return json.dumps(rule, sort_keys=True)


def known_findings(earlier: Sequence[Night]) -> dict[str, dict[str, Any]]:
    """Fingerprint -> its last row in the `earlier` nights."""
    return {row["fingerprint"]: row for night in earlier for row in night["findings"]}


def named_finding(name: str, earlier: Sequence[Night]) -> dict[str, Any]:
    """The finding that a fingerprint, or the beginning of one, names; InputError where none or several do."""
    known = known_findings(earlier)
    near = [each for each in known if each.startswith(name)] if len(name) >= LEAST_NAMED else []
    if len(near) == 1:
        return known[near[0]]
    shown = ", ".join(each[:12] for each in (near or known)) or "none yet"
    said = f"{len(near)} findings begin so" if near else "no night has a finding of this fingerprint"
    raise InputError(f"fingerprint {name!r}: {said}; there are {shown}")


def _present(
    finding: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]], failing: Sequence[str],
    decided: Mapping[str, Acceptance], today: date,
) -> Standing:  # fmt: skip
    print_, before = finding["fingerprint"], known.get(finding["fingerprint"])
    acceptance = decided.get(print_)
    fails = print_ in failing
    state: State = "persisting"
    reason = "" if before is None else f"first found on {before['first_seen']}"
    if acceptance is not None and acceptance.covers(finding["severity"], today=today):
        state, fails, reason = "accepted", False, _accepted(acceptance)
    elif before is None:
        state = "new"
    elif before["state"] == "resolved":
        state, reason = "new", f"{reason}, resolved, and back"
    elif acceptance is not None and acceptance.action == "accept":
        why = "graver than what was accepted" if acceptance.is_current(today) else "that acceptance has expired"
        reason = f"{reason}; {_accepted(acceptance)}: {why}"
    return Standing(
        print_, finding["rule"], finding["beside"], finding["kind"], finding["severity"], finding["status"], state,
        reason, today.isoformat() if before is None else before["first_seen"],
        finding["status"] == "CONFIRMED" or bool(before and before["confirmed"]), fails,
    )  # fmt: skip


def _absent(
    found: Mapping[str, Any], counted: Mapping[str, Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]],
    earlier: Sequence[Night], decided: Mapping[str, Acceptance], today: date, detects: bool,
) -> Iterator[Standing]:  # fmt: skip
    """Known findings that tonight's run neither confirmed nor failed by."""
    last = {row["fingerprint"] for row in earlier[-1]["findings"] if row["state"] in PRESENT} if earlier else set()
    for print_, row in known.items():
        if print_ in counted or not (row["confirmed"] or print_ in last):
            continue
        status, reason = _asked(row, found)
        state: State = "undecided"
        acceptance = decided.get(print_)
        if status == "NOT CONFIRMED" and not row["confirmed"]:
            continue
        if status == "NOT CONFIRMED" and detects:
            state = "resolved"
        elif status == "INCONCLUSIVE" and row["state"] == "resolved":
            state, reason = "resolved", "resolved on an earlier night, and INCONCLUSIVE tonight"
        elif status == "NOT CONFIRMED":
            reason = f"{reason}, but the canary was missed as well"
        severity = _severity(row, found)
        if state == "undecided" and acceptance is not None and acceptance.covers(severity, today=today):
            state, reason = "accepted", f"{_accepted(acceptance)}; {reason}"
        yield Standing(
            print_, row["rule"], row.get("beside", ()), row["kind"], severity, status, state, reason, row["first_seen"],
            row["confirmed"], False,
        )  # fmt: skip


def _asked(row: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, str]:
    """What tonight says of a known finding that it does not count."""
    for each in (*found["sentinels"], *found["findings"]):
        if row["fingerprint"] == each["fingerprint"] or row["rule"] == each["rule"]:
            return each["status"], each.get("reason") or f"asked again and {each['status']}"
    return "NOT TESTED", "nothing asked it again tonight"


def _severity(finding: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """The gravest that tonight's findings of the same fingerprint, or else rule, have; where there is none, its own.

    One that could not be derived may be anything, so it counts as the gravest.
    """
    same = [each for each in found["findings"] if each["fingerprint"] == finding["fingerprint"]]
    same = same or [each for each in found["findings"] if each["rule"] == finding["rule"]]
    severities: list[str | None] = [each["severity"] for each in same or [finding]]
    return min(severities, key=(None, *SEVERITIES).index)


def _accepted(acceptance: Acceptance) -> str:
    return f"accepted by {acceptance.by[:80]} until {acceptance.expires}"
