"""checkpoints.md: a training series on one page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diffbehav import untrusted
from diffbehav.compare.screen import CHANNELS
from diffbehav.report import words
from diffbehav.report.html import percent

EFFECTS = 5
"""Largest factor effects shown per checkpoint."""
CELLS = 5
MOST_RULES = 50
REASON = 300
"""Characters of a reason; checkpoints.json has all of it."""

Document = Mapping[str, Any]
line = untrusted.markdown_line


def render_checkpoints(document: Document) -> str:
    """The page of a checkpoints.json document."""
    names = [each["name"] for each in document["checkpoints"]]
    confirmed = [each for each in document["rules"] if each["first_confirmed"] is not None]
    parts = [
        "# diffbehav: checkpoints of a training run",
        _header(document),
        "## Rules\n\n" + _rules(confirmed[:MOST_RULES], names),
        "## Appears and vanishes\n\n" + _changes(confirmed[:MOST_RULES]),
        "## What is promised\n\n" + "\n".join(f"- {line(said)}" for said in document["promise"]),
        "## Drift\n\n" + _drift(document),
        "## Reactions to single levels\n\n" + _effects(document),
        "## Far above drift and levels\n\n" + _residuals(document),
    ]
    if undecided := [each for each in document["rules"] if each["first_confirmed"] is None]:
        parts.append("## Rules that no checkpoint confirmed\n\n" + _rules(undecided[:MOST_RULES], names))
    return "\n\n".join(parts) + "\n"


def cell_in_words(cell: Mapping[str, Any]) -> str:
    """The status of a rule at a checkpoint, and how often it fired inside and outside on fresh pairs."""
    if cell["pairs"] is None:
        return f"NOT TESTED ({_short(cell['reason'])})"
    return f"{cell['status']} {percent(cell['rate_inside'])} / {percent(cell['rate_outside'])} of {cell['pairs']:,}"


def measure_in_words(rule: Mapping[str, Any]) -> str:
    """What to say behind a rule that was found by another measure than the screen's score."""
    return "" if rule["flagged_by"] == "screen_score" else f" ({words.FLAGGED_BY[rule['flagged_by']]})"


def change_in_words(change: Mapping[str, Any]) -> str:
    """Between which checkpoints a rule appeared or vanished."""
    said = f"{change['change']} after {change['after']} and by {change['by']}"
    if change["undecided"]:
        said += f", undecided at {', '.join(change['undecided'])}"
    meet = "do not meet" if change["apart"] else "meet, so the size of the change is open"
    return f"{said}; the 95 % sequences of the two effects {meet}"


def _header(document: Document) -> str:
    settings = document["settings"]
    lines = [
        f"Suite {_code(settings['suite'])}, trusted model {_code(settings['trusted'][:12])}. All checkpoints were "
        "asked the same conditions with the same seeds; the trusted answers to them were drawn once.",
        "",
        "| | checkpoint | digest | verdict |",
        "|---|---|---|---|",
    ]
    for place, each in enumerate(document["checkpoints"], start=1):
        same = f" (the same files as {line(each['same_as'])}, not compared twice)" if each["same_as"] else ""
        verdict = each["verdict"].replace("_", " ")
        digest = "not read" if each["digest"] is None else _code(each["digest"].rpartition("+")[2][:12])
        lines.append(f"| {place} | {line(each['name'])}{same} | {digest} | {line(verdict)} |")
    return "\n".join([*lines, *_invalid(document)])


def _invalid(document: Document) -> Iterator[str]:
    for each in document["checkpoints"]:
        if each["invalid"] is not None:
            reason = line(_short(each["invalid"]["reason"]))
            yield f"\n**{line(each['name'])} is INVALID** and was not measured: {reason}"


def measured(document: Document) -> list[Mapping[str, Any]]:
    """The checkpoints that are not INVALID."""
    return [each for each in document["checkpoints"] if each["invalid"] is None]


def _rules(rules: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    if not rules:
        return "None was CONFIRMED at any checkpoint."
    lines = [
        "Status, and the rate inside / outside the rule on fresh matched pairs.", "",
        f"| rule | {' | '.join(map(line, names))} |", "|---" * (len(names) + 1) + "|",
    ]  # fmt: skip
    for each in rules:
        cells = " | ".join(line(cell_in_words(cell)) for cell in each["cells"])
        lines.append(f"| {_rule(each)} | {cells} |")
    return "\n".join(lines)


def _changes(rules: Sequence[Mapping[str, Any]]) -> str:
    said = []
    for each in rules:
        turns = [change_in_words(change) for change in each["changes"]]
        ends = f"CONFIRMED first at {each['first_confirmed']}, last at {each['last_confirmed']}"
        said.append(f"- {_rule(each)}: {line('. '.join([ends, *turns]))}.")
    return "\n".join(said) or "Nothing: no rule was CONFIRMED at any checkpoint."


def _drift(document: Document) -> str:
    lines = [
        f"Over {line(document['drift_over'])}: median and 95 % quantile (nats), each with an approximate 95 % "
        "interval over the tasks.", "",
        "| checkpoint | conditions | " + " | ".join(f"{name} {of}" for name in CHANNELS for of in ("median", "95 %"))
        + " |", "|---" * (2 + 2 * len(CHANNELS)) + "|",
    ]  # fmt: skip
    for each in measured(document):
        found = each["drift"]["channels"]
        cells = [quantile_in_words(found[name], of) for name in CHANNELS for of in ("median", "q95")]
        lines.append(f"| {line(each['name'])} | {each['drift']['conditions']:,} | {' | '.join(map(line, cells))} |")
    found = [each["drift"]["channels"].values() for each in measured(document)]
    reasons = dict.fromkeys(channel["reason"] for each in found for channel in each if channel["reason"])
    full = [
        f"\nAt {line(each['name'])} {line(name)} is at its bound in the median condition: no rule can stand out in it."
        for each in measured(document) for name in CHANNELS if each["drift"]["channels"][name]["full"]
    ]  # fmt: skip
    return "\n".join([*lines, *(f"\n{line(reason)}." for reason in reasons), *full])


def quantile_in_words(channel: Mapping[str, Any], name: str) -> str:
    """A quantile with its interval, or why there is none."""
    if channel[name] is None:
        return str(channel["reason"])
    low, high = channel[f"{name}_low"], channel[f"{name}_high"]
    interval = "no interval" if low is None else f"{low:.3g} to {high:.3g}"
    return f"{channel[name]:.3g} ({interval})"


def _effects(document: Document) -> str:
    lines = [
        "Shifts of the median of log1p(channel) at one level, those first whose 95 % interval stays farthest from 0. "
        "Exploratory: nothing here is tested. The search looks for rises; a fall at a level is seen here alone."
    ]
    for each in measured(document):
        largest = [_effect(found) for found in each["drift"]["effects"][:EFFECTS]]
        left_out = each["drift"]["factors_left_out"]
        more = f". Not looked at, too few conditions a level: {', '.join(left_out)}" if left_out else ""
        lines.append(f"- {line(each['name'])}: {line(('; '.join(largest) or 'not measured') + more)}")
    return "\n".join([lines[0], "", *lines[1:]])


def strongest_in_words(drift: Mapping[str, Any]) -> str:
    """The reaction to a level whose interval stays farthest from 0."""
    return _effect(drift["effects"][0]) if drift["effects"] else "not measured"


def _effect(found: Mapping[str, Any]) -> str:
    return f"{found['channel']} at {found['factor']} = {found['level']}: {found['effect']:+.3g} {_interval(found)}"


def _interval(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return "(too few conditions for an interval)"
    return f"({found['low']:+.3g} to {found['high']:+.3g})"


def _residuals(document: Document) -> str:
    lines = ["Channels (nats) of single conditions that no confirmed rule, no drift and no single level explains.", ""]
    for each in measured(document):
        found = each["drift"]["residual"]
        said = f"- {line(each['name'])}: {found['far']:,} of {found['n']:,} conditions "
        said += f"more than {found['deviations']:g} robust standard deviations above"
        lines.append(said)
        for cell in found["cells"][:CELLS]:
            levels = ", ".join(f"{name} {level}" for name, level in cell["levels"].items())
            at = line(f"task {cell['task']}, {levels}")
            lines.append(f"  - {line(cell['channel'])} {cell['value']:.3g}: {at}")
    return "\n".join(lines)


def _rule(row: Mapping[str, Any]) -> str:
    return line(words.rule_in_words(row["rule"]).replace("`", "") + measure_in_words(row))


def _short(reason: str) -> str:
    first = reason.splitlines()[0]
    return first if len(first) <= REASON else f"{first[: REASON - 1]}…"


def _code(text: str) -> str:
    return f"<code>{line(str(text))}</code>"
