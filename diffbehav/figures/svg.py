"""The figures as plain SVG, for pages without JavaScript.

Every colour comes from a class (`h0` to `h9` for shares, `candidate`, `noise`, ...) and everything else from
attributes, so the page's one style block decides light and dark, and a strict style policy holds.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from diffbehav import untrusted

WIDTH = 860
CHARACTER = 7.0
"""Pixels one character of a label takes at the page's 12 px figure text, rounded up."""

Row = Mapping[str, Any]


def pair_heatmap(frame: pl.DataFrame, *, x: str, y: str) -> str:
    """The heat map of `diffbehav.figures.pair_heatmap`, percentages written in the cells."""
    columns = frame[x].unique(maintain_order=True).to_list()
    rows = frame[y].unique(maintain_order=True).to_list()
    left = _margin(rows)
    cell = max(18.0, min(96.0, (WIDTH - left - 10) / len(columns)))
    tilted = max(map(len, columns)) * CHARACTER > cell - 4
    top = 26 + (min(160.0, 14 + 5.2 * max(len(_cut(column)) for column in columns)) if tilted else 20.0)
    at = {column: left + i * cell for i, column in enumerate(columns)}
    down = {row: top + i * 30 for i, row in enumerate(rows)}
    parts = [_text(left, 14, x, "axis"), _text(left - 8, top - 8, y, "axis end")]
    for column in columns:
        parts.append(_column_label(at[column] + cell / 2, top - 6, column, tilted=tilted))
    for row in rows:
        parts.append(_text(left - 8, down[row] + 19, _cut(row), "end"))
    for measured in frame.iter_rows(named=True):
        parts.append(_cell(measured, at[measured[x]], down[measured[y]], cell, f"{measured[x]}, {measured[y]}"))
    untested = frame.filter(pl.col("n") == 0).height
    summary = f"{frame.height} cells, {untested} of them not tested, each with its flagged share."
    width = max(left + cell * len(columns) + 10, 300)
    return _svg("heatmap", f"Flagged share by {x} and {y}", summary, width, top + 30 * len(rows) + 8, parts)


def pair_coverage(frame: pl.DataFrame, *, names: Sequence[str], exposures: int) -> str:
    """Coverage of the level pairs of every two of `names`: columns first, second, possible, once, often.

    Above the diagonal the share that was met at least once, below it the share met at least `exposures` times; on it
    the share met so often of the pairs within one name. A pair that is not in `frame` is left blank.
    """
    left = _margin(names)
    cell = max(18.0, min(64.0, (WIDTH - left - 10) / len(names)))
    top = 26 + min(180.0, 14 + 5.2 * max(len(_cut(name)) for name in names))
    place = {name: i for i, name in enumerate(names)}
    parts = []
    for name, i in place.items():
        parts.append(_column_label(left + cell * (i + 0.5), top - 6, name, tilted=True))
        parts.append(_text(left - 8, top + 30 * i + 19, _cut(name), "end"))
    counts = {"at least once": "once", f"at least {exposures} times": "often"}
    for row in frame.filter(pl.col("possible") > 0).iter_rows(named=True):
        first, second = sorted((row["first"], row["second"]), key=place.__getitem__)
        ends = {"at least once": (second, first), f"at least {exposures} times": (first, second)}
        for said, (x, y) in ends.items():
            at, down = left + cell * place[x], top + 30 * place[y]
            name = f"{first}, {second}: met {said}"
            parts.append(_share_cell(row[counts[said]], row["possible"], name, at, down, cell))
    summary = f"Above the diagonal met at least once, below it at least {exposures} times."
    width = max(left + cell * (i + 0.5) + 5.2 * len(_cut(name)) + 16 for name, i in place.items())
    width = max(left + cell * len(names) + 10, width, 300)
    return _svg("coverage", "Coverage of the pairs of levels", summary, width, top + 30 * len(names) + 8, parts)


def share_class(share: float) -> str:
    """Colour class of a share: `h0` only for exactly 0, then nine equal steps to `h9`."""
    return f"h{math.ceil(share * 9)}"


def date_timeline(frame: pl.DataFrame) -> str:
    """The timeline of `diffbehav.figures.date_timeline`: flagged share above, screen score below."""
    tested = list(frame.filter(pl.col("n") > 0).iter_rows(named=True))
    days = [date.fromisoformat(row["date"]).toordinal() for row in tested]
    span = max(days) - min(days) or 1
    across = [70 + (WIDTH - 116) * (day - min(days)) / span for day in days]
    ceiling = max([row["max_score"] for row in tested] + [row.get("noise_high") or 0.0 for row in tested])
    floor = min([0.0] + [row["p99_score"] for row in tested])
    share = _Scale(0.0, 1.0, 150, 28)
    ticks = _ticks(floor, ceiling if ceiling > floor else floor + 1.0)
    score = _Scale(ticks[0], ticks[-1], 340, 206)
    parts = [
        *_panel(
            share,
            {0: "0%", 0.25: "25%", 0.5: "50%", 0.75: "75%", 1: "100%"},
            "flagged share, exact 95 % interval",
        )
    ]
    parts += [_whisker_down(a, share(row["low"]), share(row["high"])) for a, row in zip(across, tested, strict=True)]
    shares = [share(row["flagged"] / row["n"]) for row in tested]
    parts += [_line(across, shares, "candidate"), *_dots(across, shares, tested)]
    parts += _panel(
        score,
        {tick: f"{tick:g}" for tick in ticks},
        "screen score: largest (solid), 99th percentile (dotted)",
    )
    if "noise_high" in frame.columns:
        edges = [(row["noise_low"], row["noise_high"]) for row in tested]
        parts.append(_band(across, [score(low) for low, _ in edges], [score(high) for _, high in edges]))
    largest = [score(row["max_score"]) for row in tested]
    parts += [_line(across, [score(row["p99_score"]) for row in tested], "candidate dotted")]
    parts += [_line(across, largest, "candidate"), *_dots(across, largest, tested)]
    parts += _date_ticks([row["date"] for row in tested], across)
    summary = f"{len(tested)} dates from {tested[0]['date']} to {tested[-1]['date']}."
    return _svg("timeline", "Divergence by simulated date", summary, WIDTH, 384, parts)


def factor_marginals(frame: pl.DataFrame) -> str:
    """The small multiples of `diffbehav.figures.factor_marginals`."""
    parts: list[str] = []
    down = 18.0
    left = _margin(frame["level"].to_list())
    scale = _Scale(0.0, 1.0, left, WIDTH - 110)
    for factor in frame["factor"].unique(maintain_order=True).to_list():
        levels = list(frame.filter(pl.col("factor") == factor).iter_rows(named=True))
        parts.append(_text(0, down, factor, "axis"))
        bottom = down + 8 + 22 * len(levels)
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            at = scale(tick)
            parts.append(_tag("line", x1=at, x2=at, y1=down + 6, y2=bottom, class_="grid"))
            parts.append(_text(at, down, f"{tick:.0%}", "tick middle"))
        for i, level in enumerate(levels):
            parts += _marginal(level, scale, down + 22 + 22 * i, left)
        down = bottom + 34
    summary = "One row per level: a dot at the flagged share and a bar over its exact 95 % interval."
    return _svg("marginals", "Flagged share of every level", summary, WIDTH, down - 12, parts)


class _Scale:
    """A linear map from values to pixels."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def _cell(measured: Row, at: float, down: float, size: float, name: str) -> str:
    box: dict[str, str | float] = {"x": at + 1, "y": down + 1, "width": size - 2, "height": 28.0}
    if measured["n"] == 0:
        hatch = "".join(
            f"M{_number(at + 1 + step)} {_number(down + 29)}l28 -28" for step in range(0, int(size) - 29, 9)
        )
        crossed = hatch or f"M{_number(at + 1)} {_number(down + 29)}L{_number(at + size - 1)} {_number(down + 1)}"
        lines = _tag("path", d=crossed, class_="hatch")
        return _tag(
            "g",
            _tag("title", _escaped(f"{name}: not tested")) + _tag("rect", **box, class_="untested") + lines,
        )
    share = measured["flagged"] / measured["n"]
    shade = share_class(share)
    drawn = _tag("rect", **box, class_=shade)
    if size >= 30:
        drawn += _text(at + size / 2, down + 20, _percent(share), f"middle on-{shade}")
    title = f"{name}: flagged {measured['flagged']:,} of {measured['n']:,}{_interval(measured)}"
    return _tag("g", _tag("title", _escaped(title)) + drawn)


def _share_cell(part: int, whole: int, name: str, at: float, down: float, size: float) -> str:
    share = part / whole
    shade = share_class(share)
    drawn = _tag("rect", x=at + 1, y=down + 1, width=size - 2, height=28.0, class_=shade)
    if size >= 40:
        shown = "<1%" if 0 < share < 0.01 else f"{math.floor(100 * share)}%"
        drawn += _text(at + size / 2, down + 20, shown, f"middle on-{shade}")
    return _tag("g", _tag("title", _escaped(f"{name}: {part:,} of {whole:,}")) + drawn)


def _marginal(level: Row, scale: _Scale, middle: float, left: float) -> list[str]:
    label = _text(left - 10, middle + 4, _cut(level["level"]), "end")
    if level["n"] == 0:
        return [label, _text(scale(0.0) + 6, middle + 4, "not tested", "tick")]
    count = _text(WIDTH - 90, middle + 4, f"{level['flagged']:,} of {level['n']:,}", "tick")
    low, high, dot = scale(level["low"]), scale(level["high"]), scale(level["flagged"] / level["n"])
    bar = _tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="whisker")
    return [label, bar, _tag("circle", cx=dot, cy=middle, r=4.5, class_="candidate dot"), count]


def _panel(scale: _Scale, ticks: Mapping[float, str], title: str) -> list[str]:
    parts = [_text(70, scale.end - 10, title, "axis")]
    for value, label in ticks.items():
        parts.append(_tag("line", x1=64, x2=WIDTH - 14, y1=scale(value), y2=scale(value), class_="grid"))
        parts.append(_text(58, scale(value) + 4, label, "tick end"))
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers whose first and last enclose the values."""
    size = 10.0 ** math.floor(math.log10((high - low) / 2))
    step = next(size * factor for factor in (1, 2, 5, 10) if (high - low) / (size * factor) <= 4)
    return [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _dots(across: Sequence[float], heights: Sequence[float], rows: Sequence[Row]) -> list[str]:
    return [
        _tag(
            "circle",
            _tag(
                "title",
                _escaped(f"{row['date']}: flagged {row['flagged']:,} of {row['n']:,}{_interval(row)}"),
            ),
            cx=at,
            cy=height,
            r=3.5,
            class_="candidate dot",
        )
        for at, height, row in zip(across, heights, rows, strict=True)
    ]


def _date_ticks(dates: Sequence[str], across: Sequence[float]) -> list[str]:
    ticks: list[str] = []
    free = 0.0
    for text, at in zip(dates, across, strict=True):
        if at >= free:
            ticks.append(_text(at, 360, text, "tick middle"))
            free = at + 84
    return ticks


def _whisker_down(at: float, low: float, high: float) -> str:
    return _tag("line", x1=at, x2=at, y1=low, y2=high, class_="whisker")


def _line(across: Sequence[float], heights: Sequence[float], kind: str) -> str:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in zip(across, heights, strict=True))
    return _tag("polyline", points=points, class_=f"line {kind}")


def _band(across: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    around = [*zip(across, low, strict=True), *reversed(list(zip(across, high, strict=True)))]
    return _tag("polygon", points=" ".join(f"{_number(x)},{_number(y)}" for x, y in around), class_="noise")


def _column_label(at: float, down: float, label: str, *, tilted: bool) -> str:
    if not tilted:
        return _text(at, down, label, "middle")
    return _text(at + 4, down, _cut(label), "", transform=f"rotate(-45 {_number(at + 4)} {_number(down)})")


def _interval(row: Row) -> str:
    return f", 95 % interval {row['low']:.1%} to {row['high']:.1%}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share in (0, 1) or 0.005 <= share < 0.995 else f"{share:.1%}"


def _margin(labels: Sequence[str]) -> float:
    return 24 + CHARACTER * max(8, *(len(_cut(label)) for label in labels))


def _cut(label: str) -> str:
    return label if len(label) <= 28 else label[:27] + "…"


def _svg(name: str, title: str, summary: str, width: float, height: float, parts: Sequence[str]) -> str:
    titles = _tag("title", _escaped(title), id=f"{name}-title") + _tag("desc", _escaped(summary), id=f"{name}-desc")
    return _tag(
        "svg",
        titles + "".join(parts),
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        width=width,
        class_="figure",
    )


def _text(x: float, y: float, content: str, kind: str, **attributes: str) -> str:
    return _tag("text", _escaped(content), x=x, y=y, class_=kind, **attributes)


def _escaped(text: str) -> str:
    return untrusted.xml(text)


def _tag(name: str, content: str = "", /, **attributes: str | float) -> str:
    written = "".join(f' {_attribute(key)}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{content}</{name}>"


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key != "viewBox" else key


def _value(value: str | float) -> str:
    return _escaped(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
