"""Seconds that pages and charts take over 1.2 million conditions: `python -m tests.benchmarks.dashboards [N] [FOLDER]`.

Printed, not asserted. Targets on two cores: overview 1 s, a marginal or heat map 0.3 s, cold start 5 s.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from plotly.utils import PlotlyJSONEncoder

from dashboards.app import CHARTS, render
from dashboards.runs import opened
from dashboards.view import parsed
from diffbehav.report.counts import MEASURES, counts
from tests.dashboards.large_run import WHOLE, make_large_run

REPEATS = 3
DRAWN = (
    ("grid", ""),
    ("grid", "f=path:/prod/db&f=toolset:ops"),
    ("grid", "row=toolset"),
    ("timeline", ""),
    ("marginals", ""),
    ("marginals", "f=path:/prod/db"),
)
COLD = """
import sys
from pathlib import Path
from dashboards.app import create_app
create_app(Path(sys.argv[1]), hosts=(), token=None)
"""
PAGES = ("", "/explore", "/explore?f=path:/prod/db&f=toolset:ops", "/findings", "/tools", "/coverage", "/provenance")


def main(conditions: int, folder: Path) -> None:
    """Make the run unless it is there, and print a line per thing measured."""
    run = folder / "large"
    if not (run / "run.duckdb").exists():
        seconds = _seconds(lambda: make_large_run(run, conditions=conditions, seed=1), repeats=1)
        print(f"{'build, slices included':44} {seconds:8.2f} s   {(run / 'run.duckdb').stat().st_size / 1e6:.0f} MB")
    cold = _seconds(lambda: subprocess.run([sys.executable, "-c", COLD, str(folder)], check=True), repeats=1)
    print(f"{'cold start of the application':44} {cold:8.2f} s")
    for page in PAGES:
        path, _, search = f"/run/large{page}".partition("?")
        shown = json.dumps(render(folder, parsed(path, search)), cls=PlotlyJSONEncoder)
        seconds = _seconds(lambda p=path, s=search: render(folder, parsed(p, s)), repeats=REPEATS)
        print(f"{'page ' + (page or '/overview'):44} {seconds:8.2f} s   {len(shown) / 1000:.0f} kB")
    for name, search in DRAWN:
        print(f"{f'chart {name} {search}':44} {_chart(folder, name, search):8.2f} s")
    with opened(folder, "large") as opened_run:
        for names, filters in (
            (("year", "path"), {}),
            (("date", "path"), {}),
            (("date", "path"), {"user": ["user-1"]}),
        ):
            seconds = _seconds(
                lambda n=names, f=filters: counts(opened_run.query, n, filters=f, measure=MEASURES["flagged"]),
                repeats=REPEATS,
            )
            print(f"{f'numbers of {names} {filters}':44} {seconds:8.3f} s")


def _chart(folder: Path, name: str, search: str) -> float:
    view = parsed("/run/large/explore", search)

    def drawn() -> None:
        with opened(folder, "large") as run:
            frame = CHARTS[name].frame(run, view)
            assert not isinstance(frame, str)
            CHARTS[name].draw(frame, run, view)

    return _seconds(drawn, repeats=REPEATS)


def _seconds(work: Callable[[], object], *, repeats: int) -> float:
    """The best of some repeats."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else WHOLE
    if len(sys.argv) > 2:
        main(size, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(size, Path(temporary))
