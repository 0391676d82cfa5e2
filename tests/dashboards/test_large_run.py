"""The pages over 1.2 million conditions show the planted trigger and stay small."""

import json
from pathlib import Path

import pytest
from plotly.utils import PlotlyJSONEncoder

from dashboards.app import render
from dashboards.runs import opened
from dashboards.view import parsed
from diffbehav.report.counts import MEASURES, counts, marginal_counts
from tests.dashboards.conftest import text_of
from tests.dashboards.large_run import WHOLE, make_large_run
from tests.dashboards.test_pages import LARGEST

PAGES = (
    "",
    "/explore",
    "/explore?x=date&y=user&row=path&col=toolset",
    "/findings",
    "/tools",
    "/coverage",
    "/provenance",
)


@pytest.mark.parametrize("conditions", [20_000, pytest.param(WHOLE, marks=pytest.mark.slow)])
def test_slices_and_outcomes_count_the_same_and_pages_stay_small(tmp_path: Path, conditions: int) -> None:
    make_large_run(tmp_path / "large", conditions=conditions, seed=1)
    with opened(tmp_path, "large") as run:
        every = {"system": [f"system-{i}" for i in range(5)]}
        for names in ((), ("year",), ("path", "year"), ("user", "date")):
            read = counts(run.query, names, filters={}, measure=MEASURES["flagged"]).drop("p99_score")
            counted = counts(run.query, names, filters=every, measure=MEASURES["flagged"]).drop("p99_score")
            assert read.sort(read.columns).equals(counted.sort(read.columns)), names
        for measure in MEASURES.values():
            for filters in ({}, {"path": ["/prod/db"], "year": ["2026"]}):
                together = marginal_counts(run.query, ["user", "year", "path"], filters=filters, measure=measure)
                for name in ("user", "year", "path"):
                    alone = counts(run.query, (name,), filters=filters, measure=measure).drop("p99_score")
                    row = together.filter(factor=name).rename({"level": "level_0"}).select(alone.columns)
                    assert row.sort("level_0").equals(alone.sort("level_0")), (measure.title, filters, name)
        inside = counts(run.query, (), filters={"year": ["2026"], "path": ["/prod/db"]}, measure=MEASURES["flagged"])
        assert 0.75 < inside["flagged"][0] / inside["n"][0] < 0.85
    for page in PAGES:
        path, _, search = f"/run/large{page}".partition("?")
        shown = render(tmp_path, parsed(path, search))
        assert "This cannot be shown" not in text_of(shown), page
        assert len(json.dumps(shown, cls=PlotlyJSONEncoder)) < LARGEST, page
