"""night.md: the report's page with the nights before it, for a CI step summary and a sticky comment."""

from collections.abc import Mapping, Sequence
from typing import Any

from diffbehav.collect.replayed import NEEDS_LIVE
from diffbehav.nightly.folder import Night
from diffbehav.nightly.notify import inert
from diffbehav.nightly.standing import TITLES
from diffbehav.report.markdown import CAP
from diffbehav.report.words import rule_in_words

ROWS = 25
NIGHTS = 14
REASON = 400
"""Characters of a check's reason."""


def night_page(night: Night, earlier: Sequence[Night], page: str, *, link: str | None) -> str:
    """`page`, the run's report.md, with tonight's part behind its first line, by which a comment is found again.

    `link` is the address of the report.
    """
    first, _, rest = page.partition("\n")
    part = "\n\n".join((_head(night, link), _findings(night["findings"]), _checks(night), _trend(night, earlier)))
    whole = f"{first}\n{part}\n\n{rest}"
    return whole if len(whole) <= CAP else f"{first}\n{part}\n\nThe run itself is too long for here: report.md.\n"


def _head(night: Night, link: str | None) -> str:
    changed = "; ".join(night["changes"]) or "nothing changed since the night before"
    said = f"## diffbehav night {night['date']}: {night['result']}\n\n{changed[:1].upper()}{changed[1:]}."
    linked = [] if link is None else [f"[The whole report](<{link.replace('{date}', night['date'])}>)"]
    return "\n\n".join([said, *linked, *([] if night["baseline"] is None else [_replayed(night["baseline"])])])


def _replayed(baseline: Mapping[str, Any]) -> str:
    until = "" if baseline["expires"] is None else f", refused from {baseline['expires']} on"
    return (
        f"Compared with baseline {inert(baseline['name'])}, generation {baseline['generation']}{until}: {NEEDS_LIVE}. "
        "No rule was put to the test on fresh data."
    )


def _findings(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "Nothing was confirmed or is beyond the gate, tonight or on an earlier night."
    order = list(TITLES)
    lines = ["| State | Where they part | Severity | Tonight | | Fingerprint |", "|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: order.index(row["state"]))[:ROWS]:
        rule = inert(rule_in_words(row["rule"], row.get("beside", ())))
        lines.append(
            f"| {row['state']} | {rule} | {row['severity'] or 'not derived'} "
            f"| {row['status']} | {inert(row['reason'])} | <code>{row['fingerprint'][:12]}</code> |"
        )
    more = f"\n\n{ROWS} of {len(rows)}; all are in night.json." if len(rows) > ROWS else ""
    meanings = "; ".join(f"{state}: {TITLES[state]}" for state in order if any(row["state"] == state for row in rows))
    return "\n".join(lines) + f"{more}\n\n{meanings}."


def _checks(night: Night) -> str:
    open_ = [check for check in night["checks"] if check["result"] != "passed"]
    if not open_:
        return f"All {len(night['checks'])} checks passed."
    lines = [f"- {check['result']}: {inert(check['reason'][:REASON])}" for check in open_[:ROWS]]
    more = f"\n- and {len(open_) - ROWS} more" if len(open_) > ROWS else ""
    return "Checks that did not pass:\n\n" + "\n".join(lines) + more


def _trend(night: Night, earlier: Sequence[Night]) -> str:
    lines = [f"| Night | Result | {' | '.join(TITLES)} | Canary | Conditions |", "|---" * (len(TITLES) + 4) + "|"]
    for each in [*earlier[-NIGHTS + 1 :], night][::-1]:
        counts = [str(sum(row["state"] == state for row in each["findings"])) for state in TITLES]
        cells = [each["date"], each["result"], *counts, canary_word(each), f"{each['conditions']:,}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def canary_word(night: Night) -> str:
    """What the night's positive control came to."""
    if night["canary"] is None:
        return "none"
    return "found" if night["canary"]["found"] else "NOT found"
