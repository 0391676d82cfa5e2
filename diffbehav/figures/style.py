"""What all figures share: the two sides' colours, the layout, the mode bar settings and safe labels."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from diffbehav import untrusted

CANDIDATE = "#D55E00"
TRUSTED = "#0072B2"
"""Okabe-Ito vermilion and blue: told apart with every common form of colour blindness."""
INK = "#333a42"
GRID = "#e3e6ea"
BAND = "rgba(0, 114, 178, 0.14)"

PLOTLY_CONFIG: dict[str, Any] = {
    "showSendToCloud": False,
    "showEditInChartStudio": False,
    "plotlyServerURL": "",
    "topojsonURL": "",
    "displaylogo": False,
    "responsive": True,
}
"""For every graph: nothing is offered that would send a figure, or fetch anything, over the network."""


def plotly_script() -> str:
    """The source of plotly.js that belongs to the installed plotly."""
    return str(get_plotlyjs())


def label(text: str) -> str:
    """`text` for any string of a figure: plotly reads markup in strings and gives `$` to MathJax."""
    return untrusted.xml(text).replace("$", "&#36;")


def hover(heading: Mapping[str, str], cell: Mapping[str, Any]) -> str:
    """Hover text of one measured thing: what it is, flagged k of n, the interval, the largest score."""
    lines = [f"{label(name)}: {label(level)}" for name, level in heading.items()]
    if cell["n"] == 0:
        return "<br>".join([*lines, "not tested"])
    lines.append(f"flagged {cell['flagged']:,} of {cell['n']:,} ({cell['flagged'] / cell['n']:.1%})")
    lines.append(f"95 % interval {cell['low']:.1%} to {cell['high']:.1%}")
    if cell.get("max_score") is not None:
        lines.append(f"largest screen score {cell['max_score']:.2f}")
    return "<br>".join(lines)


def layout(*, title: str, height: int) -> go.Layout:
    """The common layout, on a white page."""
    return go.Layout(
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 16}},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        height=height,
        margin={"l": 80, "r": 30, "t": 60, "b": 60},
        legend={"orientation": "h", "y": -0.18, "x": 0},
        hoverlabel={"align": "left"},
    )
