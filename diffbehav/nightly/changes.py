"""What changed since the night before: the reasons to tell somebody."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diffbehav.nightly.folder import Night

INCONCLUSIVE = 11
NOT_RED = (0, INCONCLUSIVE)
"""A single night that could not say is no alarm; two running are told as such."""
Journal = Sequence[Mapping[str, Any]]
"""Lines of nights.jsonl, oldest first."""


def changes(night: Mapping[str, Any], last: Night | None, journal: Journal) -> list[str]:
    """Changes of state between the `last` finished night and this one."""
    return [*_findings(night, last), *_result(night, journal), *_alarms(night, last)]


def first_red(exit_code: int, journal: Journal) -> bool:
    """Whether this is the first red end after one that was not, or at all."""
    return exit_code not in NOT_RED and (not journal or journal[-1]["exit_code"] in NOT_RED)


def _findings(night: Mapping[str, Any], last: Night | None) -> Iterator[str]:
    before = {} if last is None else {row["fingerprint"]: row["state"] for row in last["findings"]}
    states = [(row["state"], before.get(row["fingerprint"])) for row in night["findings"]]
    if count := sum(now == "new" for now, _ in states):
        yield f"new findings: {count}"
    if count := sum(now == "resolved" != then for now, then in states):
        yield f"resolved findings: {count}"
    if count := sum(now == "persisting" and then == "accepted" for now, then in states):
        yield f"findings that are accepted no more: {count}"


def _result(night: Mapping[str, Any], journal: Journal) -> Iterator[str]:
    if first_red(night["exit_code"], journal):
        yield "first red night after a green one" if journal else "the first night is red"
    ends = {line["date"]: line["exit_code"] for line in journal if line["date"] < night["date"]}
    codes = [code for _, code in sorted(ends.items())][-2:] + [night["exit_code"]]
    if codes[-2:] == [INCONCLUSIVE] * 2 and codes != [INCONCLUSIVE] * 3:
        yield "inconclusive two nights running"


def _alarms(night: Mapping[str, Any], last: Night | None) -> Iterator[str]:
    before = [] if last is None else [(each["factor"], each["level"]) for each in last["monitor"]["alarms"]]
    fresh = [each for each in night["monitor"]["alarms"] if (each["factor"], each["level"]) not in before]
    if fresh:
        yield f"levels that the monitor alarms on: {len(fresh)}"
