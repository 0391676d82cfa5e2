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
PAGE = "#ffffff"
MUTED = "#6b7480"
SHARES = (
    "#f0f2f5", "#f6e27a", "#e3cc6b", "#cbb56e", "#ada078", "#8e8979", "#747678", "#575d6d", "#37476b", "#00224e",
)  # fmt: skip
"""Cividis from nothing, which is nearly the page, to all; told apart with every common form of colour blindness."""
DARK_SHARES = (
    "#1f262e", "#123570", "#3b4a6b", "#585d6d", "#75777b", "#88857a", "#a59c74", "#c6b266", "#e1cc55", "#fee838",
)  # fmt: skip
SCALE = [[i / 9, colour] for i, colour in enumerate(SHARES)]
"""The colour scale of everything that has an amount."""
DARK = {
    PAGE: "#14181d", INK: "#e4e8ec", GRID: "#343c46", MUTED: "#9aa5b1", BAND: "rgba(86, 180, 233, 0.26)",
    CANDIDATE: "#f08a3c", TRUSTED: "#56a9dd", **dict(zip(SHARES, DARK_SHARES, strict=True)),
}  # fmt: skip
"""The colours of a dark page in place of the light ones; the two sides keep their hue."""

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


def dark(figure: go.Figure) -> go.Figure:
    """`figure` for a dark page: its colours exchanged, so that low is near the page there too."""
    return go.Figure(_exchanged(figure.to_plotly_json()))


def _exchanged(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _exchanged(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_exchanged(inner) for inner in value]
    return DARK.get(value, value) if isinstance(value, str) else value


def hover(heading: Mapping[str, str], cell: Mapping[str, Any], *, verb: str = "flagged") -> str:
    """Hover text of one measured thing: what it is, <verb> k of n, the interval, the largest score."""
    lines = [f"{label(name)}: {label(level)}" for name, level in heading.items()]
    if cell["n"] == 0:
        return "<br>".join([*lines, "not tested"])
    lines.append(f"{verb} {cell['flagged']:,} of {cell['n']:,} ({cell['flagged'] / cell['n']:.1%})")
    lines.append(f"95 % interval {cell['low']:.1%} to {cell['high']:.1%}")
    if cell.get("max_score") is not None:
        lines.append(f"largest screen score {cell['max_score']:.2f}")
    return "<br>".join(lines)


def layout(*, title: str, height: int) -> go.Layout:
    """The common layout, on a white page."""
    axis = {"gridcolor": GRID, "zerolinecolor": GRID}
    return go.Layout(
        template={"layout": {"xaxis": axis, "yaxis": axis}},
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 16}},
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        paper_bgcolor=PAGE,
        plot_bgcolor=PAGE,
        height=height,
        margin={"l": 80, "r": 30, "t": 60, "b": 60},
        legend={"orientation": "h", "y": -0.18, "x": 0},
        hoverlabel={"align": "left"},
    )
