"""What pages are made of. Text of a model passes `model_text` or `inline` and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import plotly.graph_objects as go
import polars as pl
from dash import dcc, html

from dashboards.charts import HIDDEN, Chart
from dashboards.runs import OpenRun
from dashboards.theme import is_dark
from dashboards.view import View
from diffbehav import untrusted
from diffbehav.figures import PLOTLY_CONFIG, dark
from diffbehav.report import words
from diffbehav.report.commands import can_replay, replay_finding
from diffbehav.report.factors import TASK
from diffbehav.report.findings import Finding
from diffbehav.report.html import percent

TEXT = 4_000
"""Characters of one model text on a page."""
OPTIONS = 100
"""Links of one menu."""
BOXES = 400
"""Boxes drawn as elements of their own in one text; a text with more shows them as ⟦...⟧."""
ROWS = 30
"""Rows of a table on one page. A page of many elements takes the browser long."""

Children = Any
Leads = Callable[[Mapping[str, Any]], str | None]
"""A row of a frame -> where it leads."""


def link(text: Children, href: str, **more: Any) -> dcc.Link:
    """A link inside the application."""
    return dcc.Link(text, href=href, **more)


def shown(text: object, *, most: int = 160) -> str:
    """A name or level for an element: hidden characters visible, and not endless."""
    text = untrusted.visible(str(text))
    return text if len(text) <= most else text[: most - 1] + "…"


def sentence(text: object) -> str:
    """A verdict's or a severity's reason, which is cut only where no honest one is so long."""
    return shown(text, most=1_000)


def pieces(text: str) -> list[Children]:
    """A model's text as strings and boxes."""
    parts = untrusted.pieces(untrusted.shorten(text, TEXT))
    if sum(boxed for _, boxed in parts) > BOXES:
        return [untrusted.visible(untrusted.shorten(text, TEXT // 4))]
    return [html.Span(part, className="box") if boxed else part for part, boxed in parts]


def model_text(text: str, *, mono: bool = False) -> html.Pre:
    """A block of a model's text."""
    return html.Pre(pieces(text), className="text mono" if mono else "text", dir="ltr")


def inline(text: str) -> html.Span:
    """A short model text inside a line or a cell."""
    return html.Span(pieces(text), className="inline mono", dir="ltr")


def untrusted_box(*children: Children) -> html.Div:
    """Everything a model wrote stands in such a box."""
    return html.Div([html.P(words.SENTENCE, className="warning"), *children], className="untrusted")


def share(value: float | None) -> str:
    """A share for reading."""
    return "not measured" if value is None else percent(value)


def number(value: float) -> str:
    """A count with thin spaces."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def tag(text: str, kind: str) -> html.Span:
    """A word in a frame."""
    return html.Span(text, className=f"tag {kind}")


def status(text: str) -> html.Span:
    """The status of a finding."""
    return html.Span(text, className="status")


def rule_text(rule: Mapping[str, Any], beside: Sequence[Mapping[str, Any]] = ()) -> list[Children]:
    """A rule with its factors as code, and outside of which others it was tested."""
    said = shown(words.rule_in_words(rule, beside)).split("`")
    return [html.Code(part) if i % 2 else html.B(part) if part else "" for i, part in enumerate(said)]


def chips(label: str, options: Sequence[tuple[str, str, bool]]) -> html.Div:
    """A choice among links: text, address, whether it is the current one."""
    found = [
        link(shown(text), href, className="chip current" if current else "chip") for text, href, current in options
    ]
    return html.Div(
        [html.Span(label, className="label"), *found], className="chips", role="group", **{"aria-label": label}
    )


def menu(label: str, chosen: str | None, options: Sequence[tuple[str, str]]) -> html.Details:
    """A choice among many: texts and addresses, folded away. Links work by keyboard and need no callback."""
    links = [link(shown(text), href, className="current" if text == chosen else "") for text, href in options[:OPTIONS]]
    more = len(options) - len(links)
    note = [html.Span(f"{number(more)} more: click them in a chart", className="note")] if more > 0 else []
    summary = html.Summary([html.Span(label, className="label"), html.B(shown(chosen or "none"))])
    return html.Details([summary, html.Div([*links, *note], className="options")], className="menu")


def filter_row(run: OpenRun, view: View) -> html.Div:
    """The filters in force, each with a link that takes it away, and menus that add one."""
    filters = view.filters(run.factors)
    values = [f"{name}:{level}" for name, levels in filters.items() for level in levels]
    active = [
        link(
            [shown(value.replace(":", " = ", 1)), " ×"],
            view.href(f=[v for v in values if v != value]),
            className="chip current",
        )
        for value in values
    ]
    factor = view.choice("ff", ["", *(factor.name for factor in run.factors)])
    levels = [level.name for each in run.factors if each.name == factor for level in each.levels]
    menus = [menu("filter by", factor or None, [(each.name, view.href(ff=each.name)) for each in run.factors])]
    if factor:
        added = [(level, view.href(f=[*values, f"{factor}:{level}"], ff=None)) for level in levels]
        menus.append(menu(f"level of {shown(factor)}", "choose", added))
    clear = [link("clear all", view.href(f=None), className="chip")] if values else []
    return html.Div([*active, *clear, *menus], className="filters")


def verdict_box(facts: Mapping[str, Any]) -> html.Div:
    """The verdict of a run, in the fixed words."""
    code = facts["verdict"]
    return html.Div(
        [
            html.P(code.replace("_", " "), className="code"),
            html.P(words.HEADLINES[code], className="headline"),
            html.Ul([html.Li(sentence(reason)) for reason in facts["verdict_reasons"][:10]]),
            html.P(words.MEANINGS[code][1], className="note"),
        ],
        className=f"verdict {code.lower().replace('_', '-')}",
    )


def command(text: str) -> html.Pre:
    """A command line to be pasted; a run of somebody else may say anything in it, so nothing stays hidden."""
    return html.Pre(untrusted.terminal(text), className="command", tabIndex="0")


def numbers(*pairs: tuple[str, str]) -> html.Dl:
    """Key figures."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs], className="numbers")


def finding_card(run: OpenRun, finding: Finding) -> html.Li:
    """A rule in words with its rates and the way to its evidence."""
    evidence = (
        link(
            "see the minimal pair",
            run.href("c", finding.pair_inside) + "?" + urlencode({"pair": finding.id}),
            className="go",
        )
        if finding.pair_inside
        else html.Span(sentence(finding.pair_reason), className="note")
    )
    return html.Li(
        [
            html.Span(finding.id, className="id"),
            html.Div(
                [
                    html.P(
                        [
                            "When ",
                            *rule_text(finding.rule, finding.beside),
                            f", {words.KINDS.get(finding.kind, finding.kind)}.",
                        ],
                        className="rule",
                    ),
                    html.P(
                        [
                            *_rates(finding),
                            status(finding.status),
                            " ",
                            status(f"severity {finding.severity}" if finding.severity else "severity not derived"),
                            f" {sentence(finding.severity_reason)}",
                        ],
                        className="note",
                    ),
                    html.P([evidence, " ", link("explore", explore_href(run, finding.rule), className="go")]),
                    command(replay_finding(run.folder, finding.id))
                    if finding.pair_inside and can_replay(run.facts)
                    else "",
                ]
            ),
            _bars(finding),
        ]
    )


def _rates(finding: Finding) -> list[Children]:
    if finding.n is None or finding.n_flagged is None or finding.score is None:
        return [f"Not measured: {sentence(finding.reason)} "]
    interval = f"95 % interval {share(finding.rate_inside_low)} to {share(finding.rate_inside_high)}"
    return [
        html.B(share(finding.rate_inside)),
        f" {words.FLAGGED_BY.get(finding.flagged_by, 'flagged')} inside ({interval}; "
        f"{number(finding.n_flagged)} of {number(finding.n)}), ",
        f"{share(finding.rate_outside)} outside. Score {finding.score:.1f}. ",
    ]


def explore_href(run: OpenRun, rule: Mapping[str, Any]) -> str:
    """The explore page of the factors of a rule."""
    names = [name for name in rule if any(factor.name == name for factor in run.factors)]
    chosen = [("x", names[0])] if names else []
    if len(names) > 1:
        chosen.append(("y", names[1]))
    return run.href("explore") + "?" + urlencode(chosen)


def _bars(finding: Finding) -> html.Div:
    lines = []
    for name, value in (("inside", finding.rate_inside), ("outside", finding.rate_outside)):
        if value is None:
            continue
        bar = html.Span(className=f"bar {name}", style={"width": f"{100 * value:.1f}%"})
        lines.append(html.Div([html.Span(name, className="label"), html.Span(bar, className="track"), percent(value)]))
    return html.Div(lines, className="rate-bars", **{"aria-hidden": "true"})


def _own_link(row: Mapping[str, Any]) -> str | None:
    return row.get("link")


def chart(name: str, made: Chart, run: OpenRun, view: View) -> html.Figure:
    """A chart of a run."""
    frame = made.frame(run, view)
    return frame_chart(
        name,
        frame,
        lambda drawn: made.draw(drawn, run, view),
        view,
        f"/data/{quote(run.id)}",
        title=made.title,
        caption=made.caption,
        said="" if isinstance(frame, str) else made.said(frame),
        leads=lambda row: made.leads(row, run, view),
    )


def frame_chart(
    name: str, frame: pl.DataFrame | str, draw: Callable[[pl.DataFrame], go.Figure], view: View, files: str, *,
    title: str, caption: str, said: str = "", leads: Leads = _own_link,
) -> html.Figure:  # fmt: skip
    """A figure with its caption, its numbers as files below `files`, and as a table where the address asks for it."""
    heading = html.H3(title) if title else ""
    if isinstance(frame, str):
        return html.Figure([heading, html.P(shown(frame), className="note")])
    figure = dark(draw(frame)) if is_dark() else draw(frame)
    is_open = view.get("t") == name
    query = view.href(t=None).partition("?")[2]
    actions = [
        link("Hide the table", view.href(t=None)) if is_open else link("View as table", view.href(t=name)),
        " · ",
        html.A("Download Parquet", href=f"{files}/{name}.parquet?{query}"),
        " · ",
        html.A("Download CSV", href=f"{files}/{name}.csv?{query}"),
        f" · {number(frame.height)} {'row' if frame.height == 1 else 'rows'}",
    ]
    return html.Figure(
        [
            heading,
            html.Div(
                dcc.Graph(id={"chart": name}, figure=figure, config=PLOTLY_CONFIG, className="graph"),
                className="scroll",
            ),
            html.P(shown(said, most=600)) if said else "",
            html.Figcaption(caption),
            html.P(actions, className="actions"),
            *(frame_table(frame, leads) if is_open else []),
        ]
    )


def frame_table(frame: pl.DataFrame, leads: Leads) -> list[Children]:
    """The first rows of a frame as a table; what a click in the figure would do is a link in the last column."""
    columns = [name for name in frame.columns if name not in HIDDEN and frame[name].null_count() < frame.height]
    rows = []
    for row in frame.head(ROWS).iter_rows(named=True):
        href = leads(row)
        rows.append([*(_cell(row[name]) for name in columns), link("open", href) if href else ""])
    more = f"The first {ROWS} of {number(frame.height)} rows; the files have all." if frame.height > ROWS else ""
    heads = [
        html.Th(name.replace("_", " "), scope="col", className="num" if frame[name].dtype.is_numeric() else "")
        for name in columns
    ]
    return [table([*heads, ""], rows), html.P(more, className="note")]


def table(heads: Sequence[Children], rows: Sequence[Sequence[Children]], *, kind: str = "") -> html.Div:
    """Rows of cells; a cell is an html.Td or its content, a head an html.Th or its content."""
    body = [html.Tr([cell if isinstance(cell, html.Td | html.Th) else html.Td(cell) for cell in row]) for row in rows]
    named = [head if isinstance(head, html.Th) else html.Th(head, scope="col") for head in heads]
    made = html.Table([html.Thead(html.Tr(named)), html.Tbody(body)], className=kind)
    return html.Div(made, className="scroll", tabIndex="0", role="region", **{"aria-label": "table"})


def pager(view: View, *, total: int, size: int = ROWS, key: str = "p", of: str = "rows") -> html.Div:
    """Links to the pages, of `size` each, of `total` rows or columns of a table; `key` has the page in the address."""
    page, last = view.number(key), max(0, (total - 1) // size)
    first = page * size
    parts: list[Children] = [
        html.Span(f"{of} {number(min(first + 1, total))} to {number(min(first + size, total))} of {number(total)}")
    ]
    if page > 0:
        parts.insert(0, link("‹ previous", view.href(**{key: str(page - 1)}), className="chip"))
    if page < last:
        parts.append(link("next ›", view.href(**{key: str(page + 1)}), className="chip"))
    return html.Div(parts, className="pager")


def axes(run: OpenRun) -> list[str]:
    """What a chart can be drawn over."""
    return [*(factor.name for factor in run.factors), TASK]


def _cell(value: object) -> html.Td:
    if value is None:
        return html.Td("", className="num")
    if isinstance(value, bool):
        return html.Td("yes" if value else "no")
    if isinstance(value, int):
        return html.Td(number(value), className="num")
    if isinstance(value, float):
        return html.Td(f"{value:.4g}", className="num")
    return html.Td(shown(value))
