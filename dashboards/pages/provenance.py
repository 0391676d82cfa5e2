"""Can it be trusted and repeated: digests of both sides, what differs between their files, settings, checks."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dashboards.charts import Chart
from dashboards.elements import ROWS, Children, command, number, pager, shown, table, tag
from dashboards.runs import OpenRun
from dashboards.view import View
from diffbehav import untrusted

PATH = ("provenance",)
TITLE = "Provenance"
CHARTS: dict[str, Chart] = {}
LINES = 400
"""Lines of each text that are compared."""
LINE = 400
"""Characters of a line that are shown."""
DIFF = 40_000
"""Bytes of one difference as it is sent."""
ELEMENT = 120
"""Bytes that a line takes beside its text."""
SIDES = ("candidate", "trusted")
TEXTS = {
    "chat_template": "Chat template",
    "generation_config": "Generation config",
    "tokenizer_config": "Tokenizer config",
}


def page(run: OpenRun, view: View) -> list[Children]:
    """The provenance page; `p` a page of the files."""
    sides = run.facts["sides"]
    return [
        html.H2("Both sides"),
        _sides(sides),
        html.H2("Files"),
        *_files(sides, view),
        *[part for key, title in TEXTS.items() for part in _text_diff(key, title, run.facts.get("texts", {}))],
        html.H2("Checks before collecting"),
        _checks(run.facts.get("checks", [])),
        html.H2("Settings"),
        _settings(run.facts),
        html.H2("Repeat"),
        command(str(run.facts.get("command", "not recorded"))),
    ]


def _sides(sides: Mapping[str, Any]) -> Children:
    keys = [
        "path", "endpoint", "weights", "digest", "adapter", "adapter_digest", "architecture", "tokenizer", "template",
        "replayed",
    ]  # fmt: skip
    body = [
        [key.replace("_", " "), *(html.Td(shown(sides[side].get(key, "")), className="mono") for side in SIDES),
         "" if key == "weights" else _same(*(sides[side].get(key) for side in SIDES))]
        for key in keys
        if any(key in sides[side] for side in SIDES)
    ]  # fmt: skip
    return table(
        ["", html.Span("candidate", className="candidate-name"), html.Span("trusted", className="trusted-name"), ""],
        body,
    )


def _files(sides: Mapping[str, Any], view: View) -> list[Children]:
    files = {side: sides[side].get("files") or {} for side in ("candidate", "trusted")}
    names = sorted(files["candidate"].keys() | files["trusted"].keys())
    if not names:
        return [html.P("The digests of the files were not recorded.")]
    first = view.number("p") * ROWS
    body = [
        [shown(name), *(html.Td(shown(files[side].get(name, "absent"))[:16], className="mono") for side in files),
         _same(*(files[side].get(name) for side in files))]
        for name in names[first : first + ROWS]
    ]  # fmt: skip
    return [
        table(["file (sha256)", "candidate", "trusted", ""], body),
        pager(view, total=len(names)) if len(names) > ROWS else "",
    ]


def _same(candidate: object, trusted: object) -> html.Span:
    if candidate == trusted:
        return html.Span("the same", className="muted")
    if candidate is None or trusted is None:
        return tag("one side only", "changed")
    return tag("≠ different", "changed")


def _text_diff(key: str, title: str, texts: Mapping[str, Any]) -> list[Children]:
    """The two texts line by line; a candidate's template is as hostile as its answers."""
    candidate, trusted = (texts.get(side, {}).get(key) for side in SIDES)
    if candidate is None and trusted is None:
        return [html.H2(title), html.P("The text was not recorded.")]
    if candidate == trusted:
        return [html.H2(title), html.P("The same on both sides.")]
    lines = list(
        difflib.unified_diff(
            (trusted or "").splitlines()[:LINES],
            (candidate or "").splitlines()[:LINES],
            "trusted",
            "candidate",
            lineterm="",
            n=3,
        )
    )
    drawn, cut = _lines(lines)
    notes = [f"The last {number(cut)} of {number(len(lines))} lines are cut."] if cut else []
    longest = max(len((text or "").splitlines()) for text in (candidate, trusted))
    if longest > LINES:
        notes.append(f"Only the first {LINES} of {number(longest)} lines are compared.")
    return [
        html.H2(title),
        tag("≠ different", "changed"),
        html.Pre(drawn, className="text mono diff", dir="ltr"),
        *(html.P(note, className="note") for note in notes),
    ]


def _lines(diff: Sequence[str]) -> tuple[list[Children], int]:
    """The first lines that fit, and how many do not: hidden characters take eight times their room once visible."""
    kinds = {"+": "line added", "-": "line removed", "@": "line place"}
    drawn, left = [], DIFF
    for line in diff:
        text = untrusted.visible(line[:LINE])
        if len(line) > LINE:
            text += f" … {number(len(line) - LINE)} characters cut"
        left -= len(json.dumps(text)) + ELEMENT
        if left < 0:
            break
        drawn.append(html.Span(text + "\n", className=kinds.get(line[:1], "line")))
    return drawn, len(diff) - len(drawn)


def _checks(checks: list[Mapping[str, Any]]) -> Children:
    body = [
        [
            shown(check.get("name")),
            tag("passed", "passed") if check.get("passed") else tag("failed", "failed"),
            shown(check.get("detail")),
        ]
        for check in checks
    ]
    return table(["check", "", "detail"], body) if body else html.P("No check is recorded.")


def _settings(facts: Mapping[str, Any]) -> Children:
    keys = (
        "run_id",
        "created",
        "suite_digest",
        "sampling",
        "engine",
        "versions",
        "numeric_floor",
        "limit",
        "collected",
    )
    body = [
        [key.replace("_", " "), html.Span(shown_json(facts[key]), className="mono")] for key in keys if key in facts
    ]
    suite = facts["suite"]
    return table(["", ""], [["suite", shown(f"{suite.get('id')}@{suite.get('version')}")], *body])


def shown_json(value: object) -> str:
    """A recorded value on one line."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return shown(text[:2_000], most=2_000)
