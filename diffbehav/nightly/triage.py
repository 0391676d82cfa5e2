"""What a person decided about findings: accepted until a date, or reopened. An append-only file says who and why."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

from diffbehav.errors import InputError, IntegrityError
from diffbehav.nightly.folder import NightsFolder, append_line, read_lines

SEVERITIES = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The last decision about a finding."""

    fingerprint: str
    action: Literal["accept", "reopen"]
    by: str
    reason: str
    at: str
    expires: str | None
    """Date from which on it no longer holds; None where it was reopened."""
    severity: str | None
    """What was accepted: a graver effect under the same rule is not."""

    def covers(self, severity: str | None, *, today: date) -> bool:
        """Whether a finding of this severity is accepted `today`."""
        if self.action != "accept" or not self.is_current(today):
            return False
        # What could not be derived may be anything, so it stands for itself alone.
        if severity is None or self.severity is None:
            return severity == self.severity
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.severity)

    def words(self, today: date) -> str:
        """What it comes to `today`."""
        if self.action == "reopen":
            return "reopened"
        return f"accepted until {self.expires}{'' if self.is_current(today) else ', expired'}"

    def is_current(self, today: date) -> bool:
        """Whether it has not expired."""
        return self.expires is not None and today < date.fromisoformat(self.expires)


def accept(
    nights: NightsFolder, finding: Mapping[str, Any], *, by: str, reason: str, expires: date, now: datetime
) -> Acceptance:
    """Accept `finding`, a row of a night, until the date `expires`; InputError where that is not in the future."""
    if expires <= now.date():
        raise InputError(
            f"--expires {expires}: today is {now.date()}, so it would not hold for one night; name a later date"
        )
    decided = Acceptance(
        finding["fingerprint"], "accept", *_signed(by, reason), now.isoformat(timespec="seconds"), expires.isoformat(),
        finding["severity"],
    )  # fmt: skip
    append_line(nights.triage, asdict(decided))
    return decided


def reopen(nights: NightsFolder, fingerprint: str, *, by: str, reason: str, now: datetime) -> Acceptance:
    """Take an acceptance back; InputError where there is none."""
    last = read_acceptances(nights).get(fingerprint)
    if last is None or last.action != "accept":
        raise InputError(f"finding {fingerprint[:12]} is not accepted, so there is nothing to reopen")
    signed = _signed(by, reason)
    decided = Acceptance(fingerprint, "reopen", *signed, now.isoformat(timespec="seconds"), None, last.severity)
    append_line(nights.triage, asdict(decided))
    return decided


def read_acceptances(nights: NightsFolder) -> dict[str, Acceptance]:
    """Fingerprint -> the last decision about it; IntegrityError names a line that is none."""
    found = {}
    for number, line in enumerate(read_lines(nights.triage), start=1):
        try:
            decided = Acceptance(**line)
            if decided.expires is not None:
                date.fromisoformat(decided.expires)
            if decided.severity not in (None, *SEVERITIES) or decided.action not in ("accept", "reopen"):
                raise ValueError(f"{decided.action!r}, {decided.severity!r}")
        except (TypeError, ValueError) as error:
            raise IntegrityError(f"{nights.triage}:{number}: is no decision about a finding ({error})") from error
        found[decided.fingerprint] = decided
    return found


def _signed(by: str, reason: str) -> tuple[str, str]:
    for option, text in (("--by", by), ("--reason", reason)):
        if not text.strip():
            raise InputError(f"{option} is empty; say who decides and why, because others will ask")
    return by, reason
