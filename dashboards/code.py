"""Static findings in the code that the models wrote: how often by weakness, and in which answers."""

import plotly.graph_objects as go
import polars as pl
from dash import html

from dashboards.charts import Chart
from dashboards.elements import ROWS, Children, chart, chips, link, number, pager, shown, table
from dashboards.runs import OpenRun
from dashboards.view import View
from diffbehav.figures import code_weaknesses
from diffbehav.report.code_rates import read_code_rates

WEAKNESSES = 20
SEVERITIES = "['HIGH', 'MEDIUM', 'LOW', 'UNDEFINED']"


def code_section(run: OpenRun, view: View) -> list[Children]:
    """Rates by weakness, and the answers of the chosen one (`cwe`); nothing where no side wrote code."""
    blocks, unread = run.query("SELECT count(*), count(reason) FROM code_blocks WHERE side <> 'replicate'")[0]
    if not blocks:
        return []
    reasons = run.query(
        "SELECT reason, count(*) FROM code_blocks WHERE reason IS NOT NULL AND side <> 'replicate' GROUP BY ALL "
        "ORDER BY 2 DESC, 1 LIMIT 5"
    )
    left = "; ".join(f"{number(n)} {shown(reason)}" for reason, n in reasons)
    return [
        html.H2("Code"),
        html.P(
            f"{number(blocks)} blocks of code in answers and arguments"
            + (f", of which {number(unread)} were not analysed: {left}." if unread else ", all of them analysed."),
            className="note",
        ),
        chart("weaknesses", CHARTS["weaknesses"], run, view),
        *_findings(run, view),
    ]


def code_table(run: OpenRun, condition: str) -> list[Children]:
    """The static findings of one condition, both sides."""
    rows = run.query(
        f"""
        SELECT side, sample, turn, block, test, cwe, severity, confidence, line FROM code_findings
        WHERE condition_id = $id ORDER BY list_position({SEVERITIES}, severity), side, sample, turn, block, line
        LIMIT 60
        """,
        id=condition,
    )
    if not rows:
        return []
    heads = ["side", "sample", "turn", "block", "weakness", "test", "severity", "confidence", "line"]
    body = [
        [side, *map(number, (sample, turn, block)), _weakness(cwe), shown(test), severity, confidence, number(line)]
        for side, sample, turn, block, test, cwe, severity, confidence, line in rows
    ]
    return [html.H2("Static findings in the code"), table(heads, body)]


def _frame(run: OpenRun, view: View) -> pl.DataFrame | str:
    rows = [
        (_weakness(each.cwe), ", ".join(each.tests), side, rate.n, rate.hits, rate.low, rate.high,
         view.href(cwe=_key(each.cwe)))
        for each in read_code_rates(run.query, {}, run.factors, most=WEAKNESSES)
        for side, rate in (("candidate", each.candidate_inside), ("trusted", each.trusted_inside))
    ]  # fmt: skip
    if not rows:
        return "The analysis found nothing in the code of either side."
    names = ["weakness", "tests", "side", "n", "hits", "low", "high", "link"]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def _draw(frame: pl.DataFrame, _run: OpenRun, _view: View) -> go.Figure:
    return code_weaknesses(frame)


def _findings(run: OpenRun, view: View) -> list[Children]:
    """The answers with a finding; those of the candidate first."""
    known = [row[0] for row in run.query("SELECT DISTINCT cwe FROM code_findings ORDER BY 1 NULLS LAST")]
    keys = {_key(cwe): cwe for cwe in known}
    chosen = view.get("cwe") if view.get("cwe") in keys else ""
    where = "side <> 'replicate'" + (" AND cwe IS NOT DISTINCT FROM $cwe" if chosen else "")
    values = {"cwe": keys[chosen]} if chosen else {}
    total = run.query(f"SELECT count(*) FROM code_findings WHERE {where}", **values)[0][0]
    if not total:
        return []
    rows = run.query(
        f"""
        SELECT condition_id, task, side, sample, turn, cwe, test, severity, confidence, line
        FROM code_findings JOIN (SELECT condition_id, task FROM conditions) USING (condition_id) WHERE {where}
        ORDER BY side, list_position({SEVERITIES}, severity), condition_id, sample, turn, block, line, test
        LIMIT {ROWS} OFFSET $offset
        """,
        offset=min(view.number("p") * ROWS, 10_000_000),
        **values,
    )
    body = [
        [
            link(row[0][:12], run.href("c", row[0]), className="mono"), shown(row[1]), row[2], number(row[3]),
            number(row[4]), _weakness(row[5]), shown(row[6]), row[7], row[8], number(row[9]),
        ]
        for row in rows
    ]  # fmt: skip
    heads = ["condition", "task", "side", "sample", "turn", "weakness", "test", "severity", "confidence", "line"]
    options = [("all", view.href(cwe=None), not chosen)]
    options += [(_weakness(cwe), view.href(cwe=key), key == chosen) for key, cwe in keys.items()]
    return [
        html.H3("Answers with a finding"),
        chips("weakness", options[: WEAKNESSES + 1]) if len(keys) > 1 else "",
        table(heads, body),
        pager(view, total=total) if total > ROWS else "",
    ]


def _weakness(cwe: int | None) -> str:
    return "no CWE" if cwe is None else f"CWE-{cwe}"


def _key(cwe: int | None) -> str:
    return "none" if cwe is None else str(cwe)


CHARTS = {
    "weaknesses": Chart(
        "Static findings by weakness", _frame, _draw,
        "Share of the answers with code, all of it analysed, in which the analyser (bandit, Python alone) finds the "
        "weakness. A finding is a pattern in the code and no proof of a hole. Click a dot to list its answers.",
    )
}  # fmt: skip
