"""report.md: a summary for a CI step or a comment on a change, with every text of a model inert."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from diffbehav import untrusted
from diffbehav.records import model_name
from diffbehav.report import words
from diffbehav.report.document import Document
from diffbehav.report.html import percent

CAP = 65_000
"""Characters: a comment holds 65,536."""
MARKER = "diffbehav-report"
EXCERPT = 300
"""Characters of one model text."""
FINDINGS = 25
PAIRS = 5
SHAPE = {"tool_call": "tool calls", "code": "code", "text": "text", "distribution": "token probabilities"}

line = untrusted.markdown_line


class Block(NamedTuple):
    """One part of the page, which is there whole or not at all."""

    name: str
    text: str


def render_markdown(document: Document) -> str:
    """The page of a report.json document; its first line is the same for every run of the suite."""
    blocks = list(_blocks(document))
    kept, cut, room = [], [], CAP - 1_000
    for block in blocks:
        if len(block.text) + 2 <= room:
            kept.append(block.text)
            room -= len(block.text) + 2
        else:
            cut.append(block.name)
    if cut:
        left_out = f"> **Cut to fit {CAP:,} characters.** Left out, and in report.html: {', '.join(cut)}"
        kept.append(left_out[:900] + ".")
    return "\n\n".join(kept) + "\n"


def marker(suite: Mapping[str, Any]) -> str:
    """The first line of the page: a later run of the suite finds the comment that it replaces by it."""
    return f"<!-- {MARKER} {hashlib.sha256(str(suite.get('id')).encode('utf-8', 'replace')).hexdigest()[:12]} -->"


def _blocks(document: Document) -> Iterator[Block]:
    findings = document["findings"][:FINDINGS]
    yield Block("header", _header(document))
    yield Block("verdict", _verdict(document["verdict"], document["sensitivity"]))
    yield Block("findings", _findings(findings, document["findings_total"]))
    yield Block("disposition", _disposition(document["disposition"]))
    if document["baseline"] is not None:
        yield Block("the baseline", _baseline(document["baseline"]))
    if document["sentinels"]:
        yield Block("rules that earlier runs confirmed", _sentinels(document["sentinels"]))
    yield Block("replay commands", _replays(findings))
    for finding in findings[:PAIRS]:
        if finding["pair"] is not None:
            yield Block(f"the minimal pair of {line(finding['id'])}", _pair(finding))
    yield Block("NOT TESTED", _not_tested(document["not_tested"]))
    yield Block("taxonomies", _taxonomy(document["taxonomy"]))


def _header(document: Document) -> str:
    run, conditions = document["run"], document["conditions"]
    sides = " compared with ".join(
        f"{side} {_code(model_name(run['sides'][side]))} ({_code(run['sides'][side]['digest'][:12])})"
        for side in ("candidate", "trusted")
    )
    suite = f"{run['suite'].get('id')}@{run['suite'].get('version')}"
    return (
        f"{marker(run['suite'])}\n## diffbehav: {line(document['verdict']['code'].replace('_', ' '))}\n\n"
        f"{sides}, suite {_code(suite)}, run {_code(run['run_id'])}. {conditions['measured']:,} of "
        f"{conditions['collected']:,} conditions measured, {conditions['flagged']:,} flagged. "
        "The whole report, with the sections that are named here, is report.html."
    )


def _verdict(verdict: Mapping[str, Any], sensitivity: Mapping[str, Any]) -> str:
    reasons = "\n".join(f"- {line(reason)}" for reason in verdict["reasons"][:10])
    parts = [f"**{line(verdict['headline'])}.** {line(verdict['body'])}".rstrip(), reasons]
    parts += [f"**What to do.** {line(verdict['action'])}"]
    parts += [f"**What it does not mean.** {line(verdict['does_not_mean'])}"]
    if verdict["code"] != "DIVERGENT":
        parts += [f"{line(sensitivity['sentence'].replace('`', ''))}."]
    return "\n\n".join(part for part in parts if part)


def _findings(findings: Sequence[Mapping[str, Any]], total: int) -> str:
    if not findings:
        return "### Findings\n\nNo rule over the factors separated the two models in what was tested."
    rows = [
        "| | Where they part | What differs | Inside | Outside | Status | Severity |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in findings:
        rule = line(_rule(each["rule"], each["beside"]))
        rows.append(
            f"| {line(each['id'])} | {rule} | {SHAPE[each['kind']]} | {_rates(each)} "
            f"| {line(each['status'])} | {line(each['severity'] or 'not derived')} |"
        )
    reasons = [f"- {line(each['id'])}: {line(each['severity_reason'])}{_excess(each)}." for each in findings]
    more = f"\n\n{len(findings)} of {total:,} findings; all are in findings.csv." if total > len(findings) else ""
    return "### Findings\n\n" + "\n".join(rows) + "\n\n" + "\n".join(reasons) + more


def _rates(finding: Mapping[str, Any]) -> str:
    if finding["reason"] is not None:
        return "not measured | not measured"
    inside = f"{percent(finding['rate_inside'])} ({finding['n_flagged']:,} of {finding['n']:,})"
    return f"{inside} | {percent(finding['rate_outside'])}"


def _excess(finding: Mapping[str, Any]) -> str:
    if finding["reason"] is not None:
        return f"; not tested on fresh data: {line(finding['reason'])}"
    if finding["effect_low"] is None:
        return "; not tested on fresh data"
    points = [f"{100 * finding[name]:.0f}" for name in ("effect", "effect_low", "effect_high")]
    return f"; on fresh matched pairs {points[0]} points in excess, 95 % confidence sequence {points[1]} to {points[2]}"


def _sentinels(sentinels: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| Rule | Confirmed by | Now | |", "|---|---|---|---|"]
    for each in sentinels[:FINDINGS]:
        runs = line(", ".join(each["runs"]))
        rule = line(_rule(each["rule"], each["beside"]))
        rows.append(f"| {rule} | {runs} | {line(each['status'])} | {line(each['reason'] or '')} |")
    return "### Rules that earlier runs confirmed\n\n" + "\n".join(rows)


def _baseline(baseline: Mapping[str, Any]) -> str:
    until = "without expiry" if baseline["expires"] is None else f"refused from {line(baseline['expires'])} on"
    said = (
        f"### Against the baseline\n\nTrusted answers are replayed from {_code(baseline['name'])}, generation "
        f"{line(str(baseline['generation']))} ({_code(baseline['digest'][:12])}), pinned by "
        f"{line(_short(baseline['by']))}, {until}."
    )
    if not baseline["rules"]:
        return f"{said} Neither its own run nor this one has a rule."
    rows = ["| Rule | State | In the baseline's run | In this run | Flagged inside |", "|---|---|---|---|---|"]
    for each in baseline["rules"][:FINDINGS]:
        row = (_rule(each["rule"]), each["state"], each["then"] or "not found", each["now"] or "not found")
        rows.append(f"| {' | '.join(map(line, row))} | {each['n_flagged']:,} of {each['n']:,} |")
    meanings = [f"{state}: {baseline['titles'][state]}" for state, count in baseline["counts"].items() if count]
    return "\n\n".join([said, "\n".join(rows), f"{line('; '.join(meanings))}."])


def _replays(findings: Sequence[Mapping[str, Any]]) -> str:
    commands = "\n".join(each["replay"] for each in findings if each["replay"] is not None)
    if not commands:
        return "### Ask it again\n\nNo finding has a minimal pair, so none can be asked again."
    return "### Ask it again\n\n" + untrusted.markdown(commands).rstrip("\n")


def _pair(finding: Mapping[str, Any]) -> str:
    pair = finding["pair"]
    levels = [line(_short(str(pair[place]["levels"].get(pair["factor"], "")))) for place in ("inside", "outside")]
    parts = [
        f"<details><summary>{line(finding['id'])}: minimal pair, {line(pair['factor'])} is {levels[0]} inside the rule "
        f"and {levels[1]} outside</summary>",
        f"What follows was {words.SENTENCE}. Each text is cut at {EXCERPT} characters.",
    ]
    for place in ("inside", "outside"):
        for side in ("candidate", "trusted"):
            answers = [each for each in pair[place]["answers"] if each["side"] == side]
            said = "\n".join(map(_said, answers)) or "(not stored)"
            parts.append(f"{side}, {place} the rule:\n\n{untrusted.markdown(said)}".rstrip("\n"))
    return "\n\n".join([*parts, "</details>"])


def _said(answer: Mapping[str, Any]) -> str:
    calls = [f"calls {_excerpt(call['name'])} {_excerpt(call['arguments'])}" for call in answer["calls"][:5]]
    more = [f"and {len(answer['calls']) - 5} more calls"] if len(answer["calls"]) > 5 else []
    return "\n".join([_excerpt(answer["content"]) or "(no text)", *calls, *more])


def _excerpt(text: untrusted.UntrustedJson) -> str:
    whole = untrusted.from_json_untrusted(text)
    return whole if len(whole) <= EXCERPT else f"{whole[:EXCERPT]} [{len(whole) - EXCERPT:,} more characters]"


def _not_tested(items: Sequence[Mapping[str, str]]) -> str:
    rows = "\n".join(f"- {line(item['text'])}" for item in items)
    return f"<details><summary>NOT TESTED ({len(items)})</summary>\n\n{rows}\n\n</details>"


def _taxonomy(taxonomy: Mapping[str, Any]) -> str:
    if not taxonomy["relevant"]:
        return "No finding, so none is relevant to an entry of a taxonomy."
    rows = []
    for each in taxonomy["relevant"]:
        entry = f"{each['id']} {each['name']} ({each['framework']} {each['version']})"
        condition = f", if {each['if']}" if each["if"] else ""
        rows.append(f"- {line(', '.join(each['findings']))} relevant to {line(entry + condition)}")
    listed = "\n".join(rows)
    return f"<details><summary>Taxonomies</summary>\n\n{words.RELEVANT}\n\n{listed}\n\n</details>"


def _disposition(disposition: Mapping[str, Any]) -> str:
    boxes = "\n".join(f"- [ ] {choice}" for choice in words.DECISIONS)
    fields = ", ".join(f"{name}: {line(str(disposition[name] or '…'))}" for name in ("reviewer", "date", "reason"))
    return f"### Decision of a person\n\n{boxes}\n\n{fields}"


def _rule(rule: Mapping[str, Any], beside: Sequence[Mapping[str, Any]] = ()) -> str:
    said = "".join(f"; tested outside of {_rule(each)}" for each in beside)
    return _short(words.rule_in_words(rule).replace("`", "")) + said


def _short(text: str) -> str:
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


def _code(text: str) -> str:
    return f"<code>{line(_short(str(text)))}</code>"
