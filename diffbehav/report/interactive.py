"""figures.html: the figures of the report with plotly.js inside, for zooming and hovering."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from diffbehav import figures, untrusted
from diffbehav.report.document import Document
from diffbehav.report.html import content_hash, heat_map_frame

BOOT = """
for (const source of document.querySelectorAll('script[type="application/json"][data-figure]')) {
  const figure = JSON.parse(source.textContent);
  Plotly.newPlot(source.dataset.figure, figure.data, figure.layout, figure.config);
}
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>diffbehav figures: {{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #20262d; background: #ffffff; max-width: 1100px;
       margin: 32px auto; padding: 0 24px; }
h1 { font-size: 24px; }
</style>
</head>
<body>
<h1>Figures of run {{ title }}</h1>
<p>Verdict: {{ verdict }}. The report itself is <code>report.html</code>; these are its figures for zooming
and hovering. Factor names, levels and counts only: no text that a model wrote.</p>
{% for name, content in figures.items() %}
<div id="{{ name }}"></div>
<script type="application/json" data-figure="{{ name }}">{{ content }}</script>
{% endfor %}
<script>{{ plotly }}</script>
<script>{{ boot }}</script>
</body>
</html>
"""


def render_interactive(document: Document) -> str:
    """The page of the interactive figures of a report.json document."""
    plotly = figures.plotly_script()
    policy = (
        f"default-src 'none'; script-src '{content_hash(plotly)}' '{content_hash(BOOT)}'; "
        "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(PAGE).render(
        title=untrusted.visible(str(document["run"]["run_id"])),
        verdict=document["verdict"]["headline"],
        policy=Markup(policy),
        plotly=Markup(plotly),
        boot=Markup(BOOT),
        figures={name: Markup(_script_json(figure)) for name, figure in _drawn(document["figures"]).items()},
    )


def _drawn(content: Mapping[str, Any]) -> dict[str, Any]:
    drawn = {}
    if content["heat_map"]:
        frame, x, y = heat_map_frame(content["heat_map"])
        drawn["heatmap"] = figures.pair_heatmap(frame, x=x, y=y)
    if content["timeline"]:
        drawn["timeline"] = figures.date_timeline(_frame(content["timeline"]["rows"]))
    if content["marginals"]:
        drawn["marginals"] = figures.factor_marginals(_frame(content["marginals"]))
    return drawn


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


def _script_json(figure: Any) -> str:
    """JSON that no HTML parser can take for an end of the script element."""
    content = json.dumps({**json.loads(figure.to_json()), "config": figures.PLOTLY_CONFIG})
    return content.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
