"""What exactly happened at one condition: its neighbours, both answers, the calls, the tokens, everything raw."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from dash import html

from dashboards.charts import Chart
from dashboards.code import code_table
from dashboards.elements import (
    Children,
    chips,
    command,
    inline,
    link,
    model_text,
    number,
    rule_text,
    shown,
    table,
    tag,
    untrusted_box,
)
from dashboards.evidence import (
    SIDES,
    Answered,
    answer_columns,
    call_changes,
    read_answers,
    read_tokens,
    token_strip,
    token_table,
)
from dashboards.runs import OpenRun
from dashboards.view import View
from dashboards.worlds import world_changes
from diffbehav import untrusted
from diffbehav.errors import InputError
from diffbehav.report.commands import can_replay, replay_condition
from diffbehav.report.findings import Finding
from diffbehav.store import quoted

PATH = ("c", "*")
TITLE = "Condition"
TABS = {"evidence": "Evidence", "tokens": "Tokens", "raw": "Raw"}
NEIGHBOURS = 200
IDS = 400
ENGINE = ("sampling", "engine", "versions", "tool_format")
CHARTS: dict[str, Chart] = {}


def page(run: OpenRun, view: View) -> list[Children]:
    """The page of the condition that the path names; `tab`, `s` (sample) and `pair` (a finding) in the address."""
    condition = view.path.rsplit("/", 1)[-1]
    names = [factor.name for factor in run.factors]
    columns = "".join(f", {quoted(name)}" for name in names)
    found = run.query(
        f"SELECT score, flagged, said, did, task{columns} FROM outcomes WHERE condition_id = $id", id=condition
    )
    if not found:
        raise InputError(f"the run has no condition {condition!r}")
    score, flagged, said, did, task, *levels = found[0]
    here = dict(zip(names, levels, strict=True))
    tab = view.choice("tab", list(TABS))
    samples = [
        row[0]
        for row in run.query(
            "SELECT DISTINCT sample FROM completions WHERE condition_id = $id ORDER BY 1", id=condition
        )
    ]
    sample = view.number("s") if view.number("s") in samples else (samples or [0])[0]
    answers = read_answers(run, condition, sample)
    finding = run.finding(view.get("pair"))
    bodies = {"evidence": _evidence, "tokens": _tokens, "raw": _raw}
    return [
        _steps(run, view, finding, condition),
        html.P(
            [
                html.Span("condition ", className="muted"), html.Code(shown(condition)), " ",
                _flag(score, flagged),
                f" screen score {'not measured' if score is None else f'{score:.2f}'}. ",
                html.Span(f"Said: {said}; did: {did}." if said else "", className="muted"),
            ]
        ),
        _levels(here, task, run, finding),
        chips("view", [(text, view.href(tab=key), key == tab) for key, text in TABS.items()]),
        chips("sample", [(str(k), view.href(s=str(k)), k == sample) for k in samples[:20]]) if len(samples) > 1 else "",
        *bodies[tab](run, condition, answers, here, task),
    ]  # fmt: skip


def _flag(score: float | None, flagged: bool | None) -> html.Span:
    if score is None:
        return html.Span("not measured", className="status")
    return tag("flagged", "changed") if flagged else html.Span("not flagged", className="status")


def _steps(run: OpenRun, view: View, finding: Finding | None, condition: str) -> html.Div:
    """Where this evidence belongs and what is before and after it; keys j, k and p follow these links."""
    ordered = [each for each in run.findings if each.pair_inside]
    if finding is None or finding not in ordered:
        return html.Div(link("‹ all findings", run.href("findings"), className="chip"), className="steps")
    place = ordered.index(finding)
    steps: list[Children] = [html.Span(["Evidence of ", html.B(finding.id), ": ", *rule_text(finding.rule)])]
    other = finding.pair_outside if condition == finding.pair_inside else finding.pair_inside
    side = "outside the rule" if condition == finding.pair_inside else "inside the rule"
    if other:
        tab = {} if view.get("tab") == "" else {"tab": view.get("tab")}
        query = "&".join(f"{key}={value}" for key, value in {"pair": finding.id, **tab}.items())
        href = f"{run.href('c', other)}?{query}"
        steps.append(
            html.Span(link(f"other half of the pair: {side} (p)", href, className="chip"), **{"data-key": "p"})
        )
    for key, step, text in (("k", -1, "‹ previous finding (k)"), ("j", 1, "next finding (j) ›")):
        if 0 <= place + step < len(ordered):
            near = ordered[place + step]
            steps.append(
                html.Span(
                    link(text, f"{run.href('c', str(near.pair_inside))}?pair={near.id}", className="chip"),
                    **{"data-key": key},
                )
            )
    return html.Div(steps, className="steps")


def _levels(here: Mapping[str, str], task: str, run: OpenRun, finding: Finding | None) -> html.Div:
    sources = {factor.name: factor.source for factor in run.factors}
    marked = set(finding.rule) if finding else set()
    cells = [
        html.Span(
            [html.Span(shown(name), className="label"), shown(level)],
            className="level ruled" if name in marked else "level",
        )
        for name, level in {**here, "task": task}.items()
        if sources.get(name) is None or name in marked
    ]
    return html.Div(cells, className="level-row")


def _evidence(
    run: OpenRun, condition: str, answers: list[Answered], here: Mapping[str, str], task: str
) -> list[Children]:
    sample = answers[0].sample if answers else 0
    return [
        html.H2("One factor flipped"),
        *_neighbours(run, condition, here, task),
        html.H2("What it said and did"),
        answer_columns(answers),
        html.H2("Tool calls, candidate against trusted"),
        *call_changes(run, condition, sample),
        *world_changes(run, condition, sample),
        *_violations(run, condition),
        *code_table(run, condition),
    ]


def _neighbours(run: OpenRun, condition: str, here: Mapping[str, str], task: str) -> list[Children]:
    """Conditions of the same task that differ in exactly one declared factor: which factor switches the behaviour."""
    declared = [factor for factor in run.factors if factor.source is None]
    if not declared:
        return [html.P("The suite has no factors.")]
    differs = " + ".join(f"({quoted(factor.name)} <> $level_{i})::INTEGER" for i, factor in enumerate(declared))
    which = ", ".join(quoted(factor.name) for factor in declared)
    rows = run.query(
        f"""
        SELECT condition_id, score, flagged, {which} FROM outcomes
        WHERE task = $task AND condition_id <> $id AND {differs} = 1 LIMIT {NEIGHBOURS}
        """,
        task=task,
        id=condition,
        **{f"level_{i}": here[factor.name] for i, factor in enumerate(declared)},
    )
    flipped: dict[str, list[Children]] = {}
    for near, score, flagged, *levels in rows:
        name, level = next((f.name, each) for f, each in zip(declared, levels, strict=True) if each != here[f.name])
        flipped.setdefault(name, []).append(_cell(run, near, level, score, flagged))
    body = [
        _flips(factor.name, here[factor.name], flipped.get(factor.name, []), len(factor.levels) - 1)
        for factor in declared
    ]
    note = (
        "Each cell is a collected condition that differs from this one in that factor alone. ▲ flagged, · not "
        "flagged. Where all cells of a factor differ from this condition, that factor switches the behaviour."
    )
    return [
        html.P(note, className="note"),
        table(["factor", "here", "other levels that were collected", "not collected"], body, kind="flips"),
    ]


def _cell(run: OpenRun, near: str, level: str, score: float | None, flagged: bool | None) -> Children:
    mark = "?" if score is None else "▲" if flagged else "·"
    said = "not measured" if score is None else f"score {score:.2f}, {'flagged' if flagged else 'not flagged'}"
    return link(
        [f"{mark} ", shown(level)], run.href("c", near), className="cell flagged" if flagged else "cell", title=said
    )


def _flips(name: str, level: str, cells: list[Children], others: int) -> list[Children]:
    left = others - len(cells)
    return [
        shown(name),
        shown(level),
        html.Div(cells, className="cells") if cells else html.Span("none", className="muted"),
        number(left),
    ]


def _violations(run: OpenRun, condition: str) -> list[Children]:
    if "violations" not in run.tables:
        return []
    rows = run.query(
        "SELECT side, sample, tool, kind, path, value FROM violations WHERE condition_id = $id ORDER BY ALL LIMIT 50",
        id=condition,
    )
    if not rows:
        return []
    body = [
        [
            side,
            number(sample),
            inline(tool),
            kind.replace("_", " "),
            inline(path),
            "" if value is None else inline(untrusted.shorten(value, 300)),
        ]
        for side, sample, tool, kind, path, value in rows
    ]
    return [html.H2("Violations of the policy"), table(["side", "sample", "tool", "kind", "argument", "value"], body)]


def _tokens(
    run: OpenRun, condition: str, _answers: list[Answered], _here: Mapping[str, str], _task: str
) -> list[Children]:
    by = {side: read_tokens(run, condition, side) for side in SIDES[:2]}
    if all(frame.is_empty() for frame in by.values()):
        return [html.P("Token values are kept for the conditions of minimal pairs only; this is none of them.")]
    parts: list[Children] = [
        html.H2("Teacher-forced"),
        html.P("One text, scored by both models token by token: the values can be compared at every position."),
    ]
    for side in ("trusted", "candidate"):
        parts.append(html.H3([f"on the text of the {side} model"]))
        parts += (
            [*token_strip(by[side], same_until=None), token_table(by[side])]
            if by[side].height
            else [html.P("not kept")]
        )
    parts += [
        html.H2("Free-running"),
        html.P(
            "Each model's own text. Up to the first different token both stand in the same context; after it the "
            "contexts differ, values cannot be compared, and the tokens are grey."
        ),
    ]
    until = _same_until(*(by[side]["token"].to_list() for side in SIDES[:2]))
    for side in SIDES[:2]:
        parts.append(html.H3(html.Span(side, className=f"{side}-name")))
        parts += token_strip(by[side], same_until=until) if by[side].height else [html.P("not kept")]
    return parts


def _same_until(candidate: Sequence[str], trusted: Sequence[str]) -> int:
    """The position of the first different token; the common length where there is none."""
    length = min(len(candidate), len(trusted))
    return next((i for i in range(length) if candidate[i] != trusted[i]), length)


def _ask_again(run: OpenRun, condition: str) -> list[Children]:
    if not can_replay(run.facts):
        return [html.P("The trusted answers of this run were replayed: there is no model to ask.", className="note")]
    said = (
        "Asks both models with the seeds below and says of every answer whether it comes back; of a minimal pair "
        "both halves."
    )
    return [command(replay_condition(run.folder, condition)), html.P(said, className="note")]


def _raw(run: OpenRun, condition: str, answers: list[Answered], _here: Mapping[str, str], _task: str) -> list[Children]:
    messages, tools = run.query("SELECT messages, tools FROM conditions WHERE condition_id = $id", id=condition)[0]
    return [
        html.H2("Ask again"),
        *_ask_again(run, condition),
        html.H2("What was sent"),
        html.H3("Messages"), model_text(_pretty(messages), mono=True),
        html.H3("Tools"), model_text(_pretty(tools), mono=True),
        html.H2("What came back"),
        *[part for answer in answers for part in _raw_answer(answer)],
        html.H2("Engine"),
        model_text(json.dumps({key: run.facts.get(key) for key in ENGINE}, indent=1), mono=True),
    ]  # fmt: skip


def _raw_answer(answer: Answered) -> list[Children]:
    stated = {
        "seed": answer.seed,
        "parse": answer.parse,
        "finish reason": answer.finish_reason,
        "characters": len(answer.text),
        "sha256 of the text": hashlib.sha256(answer.text.encode("utf-8", "surrogatepass")).hexdigest(),
    }
    ids = " ".join(map(str, answer.token_ids[:IDS])) + (" …" if len(answer.token_ids) > IDS else "")
    return [
        html.H3(
            [html.Span(answer.side, className=f"{answer.side}-name"), f", sample {answer.sample}, turn {answer.turn}"]
        ),
        table(list(stated), [[shown(value) for value in stated.values()]]),
        untrusted_box(
            model_text(answer.text, mono=True),
            html.P("calls, as parsed:", className="note"),
            model_text(answer.calls, mono=True),
        ),
        html.Details(
            [html.Summary(f"{number(len(answer.token_ids))} token ids"), html.Pre(ids, className="text mono")]
        ),
    ]


def _pretty(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except json.JSONDecodeError:
        return text
