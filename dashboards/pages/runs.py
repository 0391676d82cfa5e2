"""What ran, and what changed: the runs below the folder and how the findings of a suite come and go."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import polars as pl
from dash import html

from dashboards.elements import ROWS, Children, chips, frame_chart, link, number, pager, share, shown, table
from dashboards.runs import opened, run_databases
from dashboards.view import View, run_path
from diffbehav.errors import DiffbehavError
from diffbehav.figures import nightly_trend
from diffbehav.records import model_name
from diffbehav.stats.intervals import clopper_pearson

CAPTION = (
    "Findings that are new, persist or are gone against the run before of the same suite and candidate. A dotted line: "
    "suite, trusted model or vLLM is another one than before; shares are joined by a line only where none of them "
    "changed."
)


class Summary(NamedTuple):
    """One run as a line."""

    id: str
    facts: Mapping[str, Any]
    rules: frozenset[str]
    """Fingerprints of the findings that are not refuted."""
    n: int
    flagged: int
    sentinels: tuple[int, int]
    """Rules of earlier runs that were asked again, and how many of them hold again."""


def summaries(folder: Path) -> tuple[list[Summary], list[tuple[str, str]]]:
    """Every readable run, the oldest first, and the others with the reason."""
    found, refused = [], []
    for run_id in run_databases(folder):
        try:
            with opened(folder, run_id) as run:
                n, flagged = run.query("SELECT n, n_flagged FROM slices WHERE factor_a IS NULL")[0]
                kept = [each for each in run.findings if each.status != "NOT CONFIRMED"]
                rules = frozenset(each.fingerprint for each in kept)
                asked = run.query("SELECT count(*), count(*) FILTER (status = 'CONFIRMED') FROM sentinels")[0]
                found.append(Summary(run_id, run.facts, rules, n, flagged, asked))
        except DiffbehavError as error:
            refused.append((run_id, str(error)))
    return sorted(found, key=lambda each: (str(each.facts.get("created")), each.id)), refused


def page(folder: Path, view: View) -> list[Children]:
    """The start page; `suite` chooses whose trend is drawn, `p` a page of the table."""
    found, refused = summaries(folder)
    suites = list(dict.fromkeys(suite_of(each) for each in reversed(found)))
    if not found and not refused:
        return [
            html.H1("Runs"),
            html.P(f"There is no compared run below {shown(folder)}. Make one with `diffbehav run`."),
        ]
    chosen = view.choice("suite", suites) if suites else ""
    newest = list(reversed(found))
    first = view.number("p") * ROWS
    return [
        html.H1("Runs"),
        _table(newest[first : first + ROWS]),
        pager(view, total=len(newest)) if len(newest) > ROWS else "",
        html.P(link("Compare the latest runs", _compare_href(found), className="go")) if chosen else "",
        chips("trend of", [(suite, view.href(suite=suite), suite == chosen) for suite in suites[:20]])
        if len(suites) > 1
        else "",
        frame_chart(
            "trend", trend_frame(found, chosen), nightly_trend, _with_suite(view, chosen), "/data",
            title="Findings and flagged share, run after run", caption=CAPTION,
        ),
        *[
            html.P([html.B(shown(run_id)), " cannot be shown: ", shown(reason)], className="note")
            for run_id, reason in refused
        ],
    ]


def _with_suite(view: View, suite: str) -> View:
    """The view with the suite spelt out, for the address of the file."""
    return View(view.path, {**view.values, "suite": (suite,)})


def suite_of(each: Summary) -> str:
    """Suite and candidate of a run: what makes runs follow one another."""
    return f"{each.facts['suite'].get('id')}, {model_name(each.facts['sides']['candidate'])}"


def trend_frame(found: list[Summary], suite: str) -> pl.DataFrame | str:
    """The runs of a suite, the oldest first, each against the one before it."""
    runs = [each for each in found if suite_of(each) == suite]
    if len(runs) < 2:
        return "A trend needs two runs of one suite and candidate."
    rows, series = [], 0
    for before, each in pairwise([None, *runs]):
        assert each is not None
        changed = None if before is None else _changed(before, each)
        series += changed is not None
        old = before.rules if before else frozenset()
        low, high = clopper_pearson(each.flagged, each.n, level=0.95)
        rows.append(
            (
                each.id, str(each.facts.get("created")),
                len(each.rules - old), len(each.rules & old), len(old - each.rules),
                each.flagged / each.n if each.n else None, float(low), float(high), series, changed,
            )
        )  # fmt: skip
    names = ["run", "created", "new", "persisting", "resolved", "share", "low", "high", "series", "changed"]
    return pl.DataFrame(
        rows, schema=names, orient="row", infer_schema_length=None, schema_overrides={"changed": pl.String}
    )


def _changed(before: Summary, each: Summary) -> str | None:
    """What beside the candidate is different: a step there is not the candidate's doing."""
    now, then = each.facts, before.facts
    found = []
    if now.get("suite_digest") != then.get("suite_digest"):
        found.append("suite")
    if now["sides"]["trusted"].get("digest") != then["sides"]["trusted"].get("digest"):
        found.append("trusted model")
    if now.get("versions", {}).get("vllm") != then.get("versions", {}).get("vllm"):
        found.append("vLLM")
    return " and ".join(found) or None


def _table(found: list[Summary]) -> Children:
    body = [
        [
            link(shown(each.id), run_path(each.id)),
            shown(str(each.facts.get("created"))[:16].replace("T", " ")),
            shown(each.facts["suite"].get("id")),
            shown(model_name(each.facts["sides"]["candidate"])),
            shown(model_name(each.facts["sides"]["trusted"])),
            number(each.n),
            share(each.flagged / each.n) if each.n else "not measured",
            html.Span(shown(each.facts["verdict"]).replace("_", " "), className="status"),
            number(len(each.rules)),
            _sentinels(each),
        ]
        for each in found
    ]
    heads = ["run", "created", "suite", "candidate", "trusted", "conditions", "flagged", "verdict", "findings"]
    return table([*heads, "earlier rules that hold"], body)


def _sentinels(each: Summary) -> Children:
    asked, confirmed = each.sentinels
    if not asked:
        return html.Span("none asked", className="muted")
    return link(f"{confirmed} of {asked}", run_path(each.id, "coverage"))


def _compare_href(found: list[Summary]) -> str:
    ids = [each.id for each in found if each.facts["suite"].get("id") == found[-1].facts["suite"].get("id")][-12:]
    return "/compare?runs=" + quote(",".join(ids), safe=",~")

