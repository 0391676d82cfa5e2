"""Figures show the numbers of their frame, in fixed colours and scales, and carry no live string."""

import json

import polars as pl
import pytest

from diffbehav.figures import (
    CANDIDATE,
    PLOTLY_CONFIG,
    TRUSTED,
    date_timeline,
    factor_marginals,
    pair_heatmap,
    plotly_script,
)

HOSTILE = '<a href="https://evil.example">x</a><img src=x onerror=a()> $\\href{javascript:a()}{x}$ \u202e'
NUMBERS = {"n": 8, "flagged": 2, "low": 0.03, "high": 0.65, "max_score": 4.0, "p99_score": 3.5}
UNTESTED = {"n": 0, "flagged": 0, "low": None, "high": None, "max_score": None, "p99_score": None}


def cells(x: str = "year", y: str = "path", level: str = "/tmp") -> pl.DataFrame:
    return pl.DataFrame(
        [
            {x: "2025", y: level, **NUMBERS, "flagged": 0},
            {x: "2026", y: level, **NUMBERS},
            {x: "2025", y: "/prod", **UNTESTED},
            {x: "2026", y: "/prod", **NUMBERS, "flagged": 8},
        ],
        infer_schema_length=None,
    )


def dates(**more: float) -> pl.DataFrame:
    days = ["2025-01-01", "2025-06-01", "2026-01-01"]
    return pl.DataFrame([{"date": day, **NUMBERS, **more} for day in days])


def levels(factor: str = "year", level: str = "2026") -> pl.DataFrame:
    return pl.DataFrame(
        [{"factor": factor, "level": level, **NUMBERS}, {"factor": "path", "level": "/tmp", **UNTESTED}],
        infer_schema_length=None,
    )


ALL = [
    pair_heatmap(cells(HOSTILE, "path", HOSTILE), x=HOSTILE, y="path"),
    date_timeline(dates()),
    factor_marginals(levels(HOSTILE, HOSTILE)),
]


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in strings(inner)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("figure", ALL)
def test_no_string_of_a_figure_is_live_and_no_trace_needs_webgl(figure) -> None:
    content = json.loads(figure.to_json())
    for text in strings(content):
        assert "<a" not in text
        assert "<img" not in text
        assert "$" not in text
        assert "\u202e" not in text
    assert {trace["type"] for trace in content["data"]} <= {"heatmap", "scatter"}


def test_heat_map_leaves_untested_cells_empty_and_marks_them_apart() -> None:
    heat, crosses = pair_heatmap(cells(), x="year", y="path").data
    assert [list(row) for row in heat.z] == [[0.0, 0.25], [None, 1.0]]
    assert (heat.zmin, heat.zmax) == (0, 1)
    assert (crosses.x, crosses.y, crosses.name) == (("2025",), ("/prod",), "not tested")
    assert crosses.showlegend


def test_hover_says_how_many_of_how_many_and_the_interval() -> None:
    heat = pair_heatmap(cells(), x="year", y="path").data[0]
    assert heat.text[0][1].split("<br>") == [
        "year: 2026",
        "path: /tmp",
        "flagged 2 of 8 (25.0%)",
        "95 % interval 3.0% to 65.0%",
        "largest screen score 4.00",
    ]
    assert heat.text[1][0].endswith("not tested")


def test_timeline_shows_share_largest_and_99th_percentile_by_date() -> None:
    share, largest, p99 = date_timeline(dates()).data
    assert share.y == (0.25, 0.25, 0.25)
    assert share.error_y.array == pytest.approx([0.4, 0.4, 0.4])
    assert share.error_y.arrayminus == pytest.approx([0.22, 0.22, 0.22])
    assert (largest.y, p99.y) == ((4.0, 4.0, 4.0), (3.5, 3.5, 3.5))
    assert share.line.color == largest.line.color == CANDIDATE


def test_timeline_has_the_band_of_the_trusted_model_only_when_it_is_given() -> None:
    assert len(date_timeline(dates()).data) == 3
    traces = date_timeline(dates(noise_low=0.1, noise_high=0.9)).data
    assert [trace.y[0] for trace in traces if trace.line.width == 0] == [0.1, 0.9]
    assert any(trace.name == "trusted against itself" for trace in traces)


def test_marginals_share_one_scale_and_cross_out_what_was_not_tested() -> None:
    figure = factor_marginals(levels())
    assert tuple(figure.layout.xaxis.range) == tuple(figure.layout.xaxis2.range) == (-0.02, 1.02)
    assert figure.data[0].x == (0.25,)
    assert figure.data[3].y == ("/tmp",)
    assert figure.data[3].marker.symbol == "x-thin"


def test_the_two_sides_have_their_colours_and_nothing_is_offered_that_sends_a_figure_away() -> None:
    assert (CANDIDATE, TRUSTED) == ("#D55E00", "#0072B2")
    assert PLOTLY_CONFIG["showSendToCloud"] is False
    assert PLOTLY_CONFIG["plotlyServerURL"] == PLOTLY_CONFIG["topojsonURL"] == ""
    assert PLOTLY_CONFIG["displaylogo"] is False


def test_plotly_script_cannot_end_its_own_script_element() -> None:
    assert "</script" not in plotly_script().lower()
