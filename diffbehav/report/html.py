"""report.html: one file without JavaScript, with nothing fetched, whose style is fixed by its hash."""

import base64
import hashlib
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

import polars as pl
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from diffbehav import untrusted
from diffbehav.figures import svg
from diffbehav.report import words
from diffbehav.report.document import Document
from diffbehav.report.size import fitted
from diffbehav.report.tokens import strip

TEXT = 4_000
"""Characters of one model text on the page."""
MARKUP = 20_000
"""Characters of HTML that one model text may take; a longer one is cut to BOMB characters."""
BOMB = 500
LEVELS = 60
"""Levels listed and drawn per factor."""
FINDINGS = 25
"""Findings on the page; findings.csv has all of them."""


def render_html(document: Document) -> str:
    """The page of a report.json document, cut where it would be too large to attach."""
    return fitted(document, _page)


def _page(document: Document) -> str:
    room = resources.files("diffbehav.report")
    style = room.joinpath("report.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_finalize)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {"percent": percent, "number": _number, "model": _model_text, "brief": _brief}
    environment.filters["small"] = small
    environment.filters["token"] = _token
    environment.globals |= {"strip": strip, "changes": words.CHANGES, "sentence": words.SENTENCE}
    environment.globals |= {"ends": words.ENDS, "world_changes": words.WORLD_CHANGES, "asked_first": words.SENTINELS}
    template = environment.from_string(room.joinpath("report.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        document=document,
        figures=_figures(document["figures"]) | _coverage_figure(document["coverage"]["counted"]),
        glossary=words.GLOSSARY,
        kinds=words.KINDS,
        flagged_by=words.FLAGGED_BY,
        severities=words.SEVERITIES,
        relevant=words.RELEVANT,
        decisions=words.DECISIONS,
        most_findings=FINDINGS,
        style=Markup(style),
        style_hash=content_hash(style),
        most_levels=LEVELS,
    )


def content_hash(content: str) -> str:
    """The hash of a style or script as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")


def percent(share: float) -> str:
    """A share for reading: never 0 % or 100 % unless it is exactly that."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %" if share not in (0, 1) else f"{share:.0%}".replace("%", " %")


def small(share: float) -> str:
    """A small share with two digits that count, rounded up: it is an upper bound or the size of a combination."""
    if not 0 < share < 0.1:
        return percent(share)
    digits = 1 - math.floor(math.log10(100 * share))
    return f"{math.ceil(100 * share * 10**digits - 1e-9) / 10**digits:.{max(digits, 0)}f} %"


def heat_map_frame(heat_map: Mapping[str, Any]) -> tuple[pl.DataFrame, str, str]:
    """The frame of the heat map and the names of its two axes."""
    columns = set(heat_map["cells"][0]) - {"x", "y"}
    x, y = (f"{name} (factor)" if name in columns else name for name in (heat_map["x"], heat_map["y"]))
    frame = pl.DataFrame(heat_map["cells"], infer_schema_length=None)
    return frame.rename({"x": x, "y": y}), x, y


def _figures(figures: Mapping[str, Any]) -> dict[str, Markup]:
    drawn = {}
    if figures["heat_map"]:
        frame, x, y = heat_map_frame(figures["heat_map"])
        drawn["heat_map"] = Markup(svg.pair_heatmap(frame, x=x, y=y))
    if figures["timeline"]:
        rows = pl.DataFrame(figures["timeline"]["rows"], infer_schema_length=None)
        drawn["timeline"] = Markup(svg.date_timeline(rows))
    if figures["marginals"]:
        rows = pl.DataFrame(figures["marginals"], infer_schema_length=None)
        drawn["marginals"] = Markup(svg.factor_marginals(_most_flagged(rows)))
    return drawn


def _coverage_figure(counted: Mapping[str, Any] | None) -> dict[str, Markup]:
    """Drawn for the widest scope; nothing where no two factors can be paired."""
    pairs = counted["pairs"][counted["scope"]] if counted else []
    if not counted or not pairs:
        return {}
    frame = pl.DataFrame(pairs, infer_schema_length=None)
    names = list(dict.fromkeys(counted["columns"]))
    return {"coverage": Markup(svg.pair_coverage(frame, names=names, exposures=counted["exposures"]))}


def _most_flagged(marginals: pl.DataFrame) -> pl.DataFrame:
    """At most LEVELS levels of every factor, in their order: those with the largest flagged share."""
    share = (pl.col("flagged") / pl.col("n")).fill_nan(-1.0)
    return marginals.filter(share.rank("ordinal", descending=True).over("factor") <= LEVELS)


def _finalize(value: object) -> object:
    """Every string of the page passes here: what cannot be seen is shown."""
    return untrusted.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _model_text(text: untrusted.UntrustedJson) -> Markup:
    whole = untrusted.from_json_untrusted(text)
    shown = untrusted.html(untrusted.shorten(whole, TEXT))
    return Markup(shown if len(shown) <= MARKUP else untrusted.html(untrusted.shorten(whole, BOMB)))


def _token(text: str) -> Markup:
    return Markup(untrusted.html(text))


def _brief(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"


def _number(value: float) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
