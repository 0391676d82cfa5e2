"""What a finding is known by from run to run."""

from collections.abc import Mapping, Sequence

from diffbehav.records import digest


def fingerprint(suite_id: str, kind: str, levels: Mapping[str, Sequence[str]]) -> str:
    """sha256 (64 hex digits) of the suite, the kind of difference and every level inside the rule.

    No condition and no number enters, so the same rule has the same fingerprint in every run.
    """
    return digest([suite_id, kind, {factor: sorted(inside) for factor, inside in levels.items()}])
