"""The rules of earlier runs that a search asked first."""

from dash import html

from dashboards.elements import Children, number, rule_text, share, shown, status, table
from dashboards.runs import OpenRun
from diffbehav.report import words
from diffbehav.report.sentinels import Sentinel, read_sentinels


def sentinel_section(run: OpenRun) -> list[Children]:
    """What became of each; nothing where none was asked."""
    found = read_sentinels(run.query)
    if not found:
        return []
    heads = ["rule", "confirmed by", "now", "inside", "outside", "excess, 95 % sequence", "pairs"]
    return [
        html.H2("Rules that earlier runs confirmed"),
        html.P(words.SENTINELS, className="note"),
        table(heads, [_row(each) for each in found]),
    ]


def _row(each: Sentinel) -> list[Children]:
    cells = [html.Td(rule_text(each.rule, each.beside)), shown(", ".join(each.runs)), status(each.status)]
    if each.effect is None or each.effect_low is None or each.effect_high is None or each.pairs is None:
        return [*cells, html.Td(shown(each.reason, most=400), colSpan=4)]
    points = [f"{100 * value:.0f}" for value in (each.effect, each.effect_low, each.effect_high)]
    excess = f"{points[0]} points, {points[1]} to {points[2]}"
    return [*cells, share(each.rate_inside), share(each.rate_outside), excess, number(each.pairs)]
