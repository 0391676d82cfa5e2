"""The figures of the pages carry no live string, keep their numbers in the dark, and colour nothing untested."""

import base64
import json

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from diffbehav import figures
from diffbehav.figures.style import CANDIDATE, DARK, DARK_SHARES, PAGE, SHARES
from tests.figures.test_plotly_figures import HOSTILE, NUMBERS, UNTESTED, dates, levels, strings

GRID_COLUMNS = ["row", "column", "x", "y", "x_id", "y_id", "n", "flagged", "low", "high", "max_score"]


def grid(**more: str | None) -> pl.DataFrame:
    cells = [
        {"x": x, "y": y, "x_id": i, "y_id": j, "row": None, "column": None, **(NUMBERS if j or not i else UNTESTED)}
        for j, y in enumerate(("/tmp", HOSTILE))
        for i, x in enumerate(("2025", "2026"))
    ]
    return pl.DataFrame([cell | more for cell in cells], infer_schema_length=None).select(GRID_COLUMNS)


def pairs(**numbers: list[float | int | None]) -> pl.DataFrame:
    names = {"first": [HOSTILE, HOSTILE, "b", "b"], "second": [HOSTILE, "b", HOSTILE, "b"]}
    return pl.DataFrame({**names, **numbers})


def all_figures() -> dict[str, go.Figure]:
    strength = pairs(strength=[0.4, None, None, 0.1]).with_columns(where=pl.lit(HOSTILE), link=pl.lit("/run/a"))
    point = {"rule": [HOSTILE], "effect": [0.3], "surprise": [9.0], "n": [9], "flagged": [8], "link": ["/run/a"]}
    bins = pl.DataFrame({"effect": [0.25, 0.5], "surprise": [1.0, 9.0], "slices": [7, 1]})
    tree = {"id": ["r", "r1"], "parent": ["", "r"], "label": ["all", HOSTILE], "n": [9, 3], "flagged": [3, 3]}
    paths = {"level_0": [HOSTILE, "b"], "flagged": [True, False], "conditions": [3, 6]}
    matrix = {"said": ["a"], "did": ["b"], "n": [3], "flagged": [1], "link": ["/run/a"]}
    places = {"place": ["A1", "A1"], "change": ["extra_call", "changed"], "conditions": [3, 1]}
    night = {"created": ["2026-11-20", "2026-11-21"], "run": [HOSTILE, "b"], "new": [1, 0], "persisting": [0, 1]}
    night |= {"resolved": [0, 0], "share": [0.1, 0.2], "low": [0.0, 0.1], "high": [0.2, 0.3], "series": [0, 1]}
    steps = {"rule": [HOSTILE, HOSTILE], "run": ["a", "b"], "n": [9, 0], "flagged": [3, 0], "low": [0.1, None]}
    return {
        "share_grid": figures.share_grid(
            grid(row=HOSTILE), x=HOSTILE, y="path", value="share", title=HOSTILE, verb="flagged"
        ),
        "interaction_matrix": figures.interaction_matrix(strength),
        "volcano": figures.volcano(bins, pl.DataFrame(point), m=8, effect=0.05, surprise=2.0),
        "rule_icicle": figures.rule_icicle(pl.DataFrame(tree).with_columns(link=pl.lit("/run/a"))),
        "parallel_paths": figures.parallel_paths(pl.DataFrame(paths), names=[HOSTILE]),
        "said_did": figures.said_did(pl.DataFrame(matrix)),
        "argument_paths": figures.argument_paths(pl.DataFrame(places)),
        "nightly_trend": figures.nightly_trend(pl.DataFrame(night | {"changed": [None, "suite"]})),
        "trajectories": figures.trajectories(pl.DataFrame(steps | {"high": [0.6, None], "max_score": [3.0, None]})),
        "coverage_matrix": figures.coverage_matrix(pairs(exposed=[1, 2, 2, None], possible=[2, 4, 4, None])),
        "detectable_share": figures.detectable_share(
            pl.DataFrame({"firing": [0.5, 1.0], "share": [0.02, 0.01], "bound": [None, 0.1]})
        ),
        "date_timeline": figures.date_timeline(
            dates(share_noise_low=0.1, share_noise_high=0.3).with_columns(segment_share=pl.Series([0.1, 0.1, 0.6])),
            verb="calls in",
        ),
        "code_weaknesses": figures.code_weaknesses(
            pl.DataFrame(
                {"weakness": [HOSTILE, HOSTILE], "side": ["candidate", "trusted"], "n": [9, 0], "hits": [3, 0],
                 "low": [0.1, 0.0], "high": [0.6, 1.0], "link": ["/run/a", "/run/a"]}
            )
        ),
        "factor_marginals": figures.factor_marginals(levels(HOSTILE, HOSTILE), columns=2),
    }


ALL = all_figures()


def values(z: object) -> np.ndarray:
    """The numbers of a heat map, in rows or packed as plotly packs an array."""
    if isinstance(z, dict):
        return np.frombuffer(base64.b64decode(z["bdata"]), dtype=z["dtype"]).astype(float)
    return np.array(z, dtype=float).ravel()


@pytest.mark.parametrize("name", ALL)
def test_no_string_of_a_figure_is_live_and_no_trace_needs_webgl(name: str) -> None:
    content = json.loads(ALL[name].to_json())
    for text in strings(content):
        assert "<a" not in text and "<img" not in text and "$" not in text and "\u202e" not in text
    kinds = {trace["type"] for trace in content["data"]}
    assert kinds <= {"heatmap", "scatter", "bar", "icicle", "parcats"}


@pytest.mark.parametrize("name", ALL)
def test_a_dark_figure_has_none_of_the_light_colours_and_the_same_numbers(name: str) -> None:
    light, dark = ALL[name], figures.dark(ALL[name])
    assert not set(strings(json.loads(dark.to_json()))) & set(DARK)
    assert dark.layout.paper_bgcolor == DARK[PAGE]
    for before, after in zip(light.data, dark.data, strict=True):
        if before.type == "heatmap":
            np.testing.assert_array_equal(values(before.z), values(after.z))


def test_every_light_colour_has_a_dark_one_and_no_two_are_the_same() -> None:
    assert len(SHARES) == len(DARK_SHARES) == len(set(SHARES)) == len(set(DARK_SHARES))
    assert not set(DARK) & set(DARK.values())


def test_an_untested_cell_has_no_colour_but_a_cross() -> None:
    crosses = ALL["share_grid"].data[1]
    shares = figures.share_grid(grid(), x="year", y="path", value="share", title="", verb="flagged").data[0].z
    assert shares[0][0] == pytest.approx(0.25) and np.isnan(shares[0][1])
    assert (crosses.x, len(crosses.y)) == (("2026",), 1)


def test_facets_have_a_panel_each_on_one_scale() -> None:
    frame = pl.concat([grid(row="a"), grid(row="b")])
    figure = figures.share_grid(frame, x="year", y="path", value="share", title="", verb="flagged")
    assert len([trace for trace in figure.data if trace.type == "heatmap"]) == 2
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)


def test_the_first_rule_of_the_trajectories_has_the_candidates_colour_and_a_gap_where_nothing_was_tested() -> None:
    trace = ALL["trajectories"].data[0]
    assert trace.line.color == CANDIDATE
    assert trace.y == (pytest.approx(1 / 3), None) and not trace.connectgaps


def test_a_line_with_both_shares_stands_where_the_share_changes_and_nowhere_else() -> None:
    steps = dates().with_columns(segment_share=pl.Series([0.1, 0.1, 0.6]))
    (line,) = figures.date_timeline(steps).layout.shapes
    assert (line.x0, line.label.text) == ("2026-01-01", "10% → 60%")
    assert figures.date_timeline(dates().with_columns(segment_share=pl.lit(0.1))).layout.shapes == ()


def test_a_side_whose_code_was_never_analysed_has_no_dot() -> None:
    candidate, trusted = all_figures()["code_weaknesses"].data
    assert list(candidate.x) == [3 / 9] and list(trusted.x) == []
