"""A suite may call its factors what the tables of the results call their columns."""

import re
from pathlib import Path

import pytest

import diffbehav.store
from dashboards.app import render
from dashboards.view import parsed
from diffbehav.compare import compare
from diffbehav.report import write_report
from diffbehav.suite import suite_from_text
from diffbehav.suite.checks import RESERVED
from tests.compare.test_compare import collected
from tests.dashboards.conftest import best_pair
from tests.dashboards.test_pages import text_of

SCHEMA = Path(diffbehav.store.__file__).with_name("schema.sql").read_text(encoding="utf-8")
COLUMNS = sorted(set(re.findall(r"^    ([a-z_0-9]+) +[A-Z]", SCHEMA, re.MULTILINE)) - set(RESERVED))
PARTS = [COLUMNS[start::3] for start in range(3)]
"""A grid of all of them would be too large."""


def suite_text(names: list[str]) -> str:
    lines = ["schema: diffbehav.suite/1", "id: columns", "version: '1'", "description: Factors named like columns."]
    lines += ["sampling: {n: 1, temperature: 1.0, max_tokens: 16, seed: 3}", "replicate: 0.2"]
    lines += ["design: {kind: random, n: 160, seed: 5, neighbours: 1}", "messages:"]
    lines += [f"  - {{role: system, content: '{' '.join(f'{{{{ {name} }}}}' for name in names)}'}}"]
    lines += ["  - {role: user, content: '{{ request }}'}", "tasks:"]
    lines += [f"  - {{id: t{i}, vars: {{request: r{i}}}}}" for i in range(4)]
    return "\n".join([*lines, "factors:", *(f"  {name}: [{name}0, {name}1]" for name in names)])


@pytest.fixture(scope="module", params=PARTS, ids=lambda names: f"{names[0]} and {len(names) - 1} more")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    first, second, *_ = request.param
    suite = suite_from_text(suite_text(request.param), name="columns.yaml")
    acts = {"trigger": lambda levels: levels[first] == f"{first}1" and levels[second] == f"{second}1", "drift": 0.2}
    place = collected(tmp_path_factory.mktemp("runs") / "columns", candidate=acts, suite=suite)
    compare(place)
    return place


def test_the_columns_are_those_that_a_factor_may_be_called() -> None:
    assert {"channel", "side", "severity", "source", "value", "reason", "kind"} <= set(COLUMNS)


def test_the_report_is_written_of_a_run_whose_factors_are_called_like_columns(run: Path) -> None:
    write_report(run, run / "report")
    assert "F001" in (run / "report" / "report.html").read_text(encoding="utf-8")


def test_every_page_shows_a_run_whose_factors_are_called_like_columns(run: Path) -> None:
    inside, outside = best_pair(run / "run.duckdb")
    pages = ["", "/explore", "/explore?m=calls&t=grid", "/findings", "/tools", "/coverage", "/provenance"]
    pages += ["/tools?t=weaknesses", "/tools?said=other+text&did=extra+call"]
    pages += [f"/c/{inside}?pair=F001&tab={tab}" for tab in ("evidence", "tokens", "raw")] + [f"/c/{outside}"]
    for page in pages:
        path, _, search = f"/run/columns{page}".partition("?")
        assert "This cannot be shown" not in text_of(render(run.parent, parsed(path, search))), page
