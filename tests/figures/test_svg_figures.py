"""The SVG figures are well-formed, have names for all readers, and use classes instead of styles."""

from xml.etree import ElementTree

import polars as pl
import pytest

from diffbehav.figures import svg

HOSTILE = "</text><script>a()</script>\u202e & \" ' <"
NUMBERS = {"n": 8, "flagged": 2, "low": 0.03, "high": 0.65, "max_score": 4.0, "p99_score": 3.5}
UNTESTED = {"n": 0, "flagged": 0, "low": None, "high": None, "max_score": None, "p99_score": None}


def heat_map(name: str = "path", level: str = "/tmp") -> str:
    rows = [
        {"year": "2025", name: level, **NUMBERS, "flagged": 0},
        {"year": "2026", name: level, **NUMBERS, "flagged": 8},
        {"year": "2025", name: "/prod", **UNTESTED},
        {"year": "2026", name: "/prod", **NUMBERS},
    ]
    return svg.pair_heatmap(pl.DataFrame(rows, infer_schema_length=None), x="year", y=name)


def timeline(days: int = 3, **more: float) -> str:
    rows = [{"date": f"20{10 + day}-01-01", **NUMBERS, **more} for day in range(days)]
    return svg.date_timeline(pl.DataFrame(rows))


def marginals(level: str = "2026") -> str:
    rows = [{"factor": "year", "level": level, **NUMBERS}, {"factor": "path", "level": "/tmp", **UNTESTED}]
    return svg.factor_marginals(pl.DataFrame(rows, infer_schema_length=None))


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314


def words(text: str) -> list[str]:
    return [element.text for element in parsed(text).iter("text")]


@pytest.mark.parametrize(
    "text", [heat_map(HOSTILE, HOSTILE), timeline(), timeline(1), timeline(90), marginals(HOSTILE)]
)
def test_a_figure_has_a_role_a_title_a_description_and_no_style_or_script(text: str) -> None:
    root = parsed(text)
    assert root.attrib["role"] == "img"
    named = [root.find(f"*[@id='{name}']").text for name in root.attrib["aria-labelledby"].split()]
    assert all(named)
    for element in root.iter():
        assert element.tag in {
            "svg",
            "g",
            "title",
            "desc",
            "text",
            "rect",
            "line",
            "path",
            "circle",
            "polyline",
        }
        assert not any(name == "style" or name.startswith("on") for name in element.attrib)
        assert "nan" not in str(element.attrib.values())
    assert "\u202e" not in text


def test_heat_map_colours_by_class_writes_the_share_and_hatches_the_untested() -> None:
    kinds = [rect.attrib["class"] for rect in parsed(heat_map()).iter("rect")]
    assert kinds == ["h0", "h9", "untested", "h3"]
    assert [word for word in words(heat_map()) if word.endswith("%")] == ["0%", "100%", "25%"]
    assert len(list(parsed(heat_map()).iter("path"))) == 1
    titles = [title.text for title in parsed(heat_map()).iter("title")]
    assert "2025, /prod: not tested" in titles
    assert "2026, /prod: flagged 2 of 8, 95 % interval 3.0% to 65.0%" in titles


@pytest.mark.parametrize(("share", "kind"), [(0, "h0"), (1e-9, "h1"), (1 / 9, "h1"), (0.5, "h5"), (1, "h9")])
def test_only_a_share_of_exactly_zero_has_the_colour_of_zero(share: float, kind: str) -> None:
    assert svg.share_class(share) == kind


def test_timeline_draws_share_largest_score_and_99th_percentile() -> None:
    lines = list(parsed(timeline()).iter("polyline"))
    assert [line.attrib["class"] for line in lines] == [
        "line candidate",
        "line candidate dotted",
        "line candidate",
    ]
    assert len(list(parsed(timeline()).iter("circle"))) == 6
    assert "2010-01-01" in words(timeline())


def test_timeline_shades_the_noise_of_the_trusted_model_only_when_it_is_given() -> None:
    assert "noise" not in timeline()
    assert len(list(parsed(timeline(noise_low=0.1, noise_high=0.9)).iter("polygon"))) == 1


def test_date_labels_of_a_long_timeline_do_not_overlap() -> None:
    ticks = [float(t.attrib["x"]) for t in parsed(timeline(90)).iter("text") if t.text.startswith("20")]
    assert min(b - a for a, b in zip(ticks, ticks[1:], strict=False)) >= 84


def test_marginals_put_the_dot_at_the_share_and_say_not_tested() -> None:
    root = parsed(marginals())
    (dot,) = root.iter("circle")
    bar = next(line for line in root.iter("line") if line.attrib["class"] == "whisker")
    assert float(bar.attrib["x1"]) < float(dot.attrib["cx"]) < float(bar.attrib["x2"])
    assert "not tested" in words(marginals())
    assert "2 of 8" in words(marginals())


def covered(names: list[str]) -> str:
    rows = [
        {"first": names[0], "second": names[1], "possible": 8, "once": 8, "often": 2},
        {"first": names[1], "second": names[1], "possible": 4, "once": 3, "often": 0},
    ]
    return svg.pair_coverage(pl.DataFrame(rows), names=names, exposures=5)


def test_coverage_of_pairs_has_once_above_the_diagonal_and_often_below_it() -> None:
    root = parsed(covered(["task", "tool (pooled)", "year (from date)"]))
    cells = {group.find("title").text: group.find("rect") for group in root.iter("g")}
    above = cells["task, tool (pooled): met at least once: 8 of 8"]
    below = cells["task, tool (pooled): met at least 5 times: 2 of 8"]
    assert (above.attrib["class"], below.attrib["class"]) == ("h9", "h3")
    assert float(above.attrib["x"]) > float(below.attrib["x"])
    assert float(above.attrib["y"]) < float(below.attrib["y"])
    assert {"100%", "25%", "0%"} <= set(words(covered(["a", "b", "c"])))
    assert not any("year" in title for title in cells), "a pair that cannot be met is left blank"


def test_coverage_of_pairs_never_rounds_up_to_everything_and_keeps_every_label_inside() -> None:
    frame = pl.DataFrame([{"first": "a", "second": "b", "possible": 1000, "once": 999, "often": 1}])
    shown = words(svg.pair_coverage(frame, names=["a", "b"], exposures=5))
    assert "99%" in shown and "<1%" in shown
    root = parsed(covered(["a", "b", "a factor with a long name"]))
    last = [text for text in root.iter("text") if text.text.startswith("a factor") and "transform" in text.attrib][0]
    assert float(root.attrib["width"]) > float(last.attrib["x"]) + 5 * len(last.text)


def test_hostile_names_in_the_coverage_of_pairs_stay_text() -> None:
    text = covered([HOSTILE, "b"])
    assert "<script" not in text and "\u202e" not in text
    assert parsed(text).attrib["role"] == "img"
