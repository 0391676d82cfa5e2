"""A run folder to its run.duckdb: measured, screened, scanned for rules, with the evidence for each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from diffbehav.compare.aggregate import divergences, uncollected
from diffbehav.compare.distances import DISTANCES
from diffbehav.compare.likelihoods import on_candidate_answers, on_trusted_answers
from diffbehav.compare.load import Batch, batches, blocks_of
from diffbehav.compare.outputs import outputs
from diffbehav.compare.positions import positions
from diffbehav.compare.rules import INTERVAL_LEVEL, Ruled, find_rules
from diffbehav.compare.screen import CHANNELS, screen
from diffbehav.compare.searched import Searched, read_search
from diffbehav.compare.verdict import verdict
from diffbehav.store import Builder, RunFolder, building, read_parquet, read_settings

KEPT = ("call_distance", "text_differs")
"""Distances beside the channels that say what kind of difference a rule is."""


def compare(run: Path) -> None:
    """Build `run`/run.duckdb anew from the collected parts. Needs no model; a pure function of the parts."""
    folder = RunFolder(run)
    settings = read_settings(folder)
    factors = settings["factors"]
    names = [factor["name"] for factor in factors]
    conditions = read_parquet(folder.conditions).drop("prompt_ids")
    with building(folder.database, names) as builder:
        _append_grid(builder, conditions, factors)
        measured, trusted = _append_measured(builder, folder, conditions, settings)
        scores = screen(conditions, measured)
        builder.append("screen", scores)
        searched = read_search(folder, interval_level=INTERVAL_LEVEL)
        ruled = find_rules(_facts(conditions, scores, measured, trusted), factors, searched)
        builder.append("findings", ruled.findings)
        _append_positions(builder, folder, conditions, ruled, settings["block"])
        builder.append("run", _run_rows(settings, scores, ruled, searched))


def _append_grid(builder: Builder, conditions: pl.DataFrame, factors: Sequence[Mapping[str, Any]]) -> None:
    builder.append(
        "factors",
        pl.DataFrame(
            [(f["name"], i, f["source"], len(f["levels"])) for i, f in enumerate(factors)],
            schema={"name": pl.String, "position": pl.Int32, "source": pl.String, "n_levels": pl.Int32},
            orient="row",
        ),
    )
    for factor in factors:
        counts = conditions[factor["name"]].value_counts(name="n_conditions").rename({factor["name"]: "level"})
        levels = pl.DataFrame({"level": factor["levels"]}).with_row_index("position")
        builder.append(
            "levels",
            levels.join(counts, on="level", how="left").with_columns(
                pl.col("n_conditions").fill_null(0), factor=pl.lit(factor["name"])
            ),
        )
    builder.append("conditions", conditions)


def _append_measured(
    builder: Builder, folder: RunFolder, conditions: pl.DataFrame, settings: Mapping[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Fill completions, divergences, spans and argument_changes a batch at a time.

    Returns the divergences that rules are made of, and condition_id with the trusted text of sample 0.
    """
    kept, texts, collected = [], [], []
    for batch in batches(folder, conditions.height, settings["block"]):
        rows, spans, changes = _measure(batch, floor=settings["numeric_floor"])
        builder.append("completions", batch.completions)
        builder.append("divergences", rows)
        builder.append("spans", spans)
        builder.append("argument_changes", changes)
        kept.append(rows.filter(pl.col("distance").is_in([*CHANNELS, *KEPT])))
        first = (pl.col("side") == "trusted") & (pl.col("sample") == 0)
        texts.append(batch.completions.filter(first).select("condition_id", trusted_text="text"))
        collected.append(rows.select("condition_id").unique())
    missing = conditions.join(pl.concat(collected), on="condition_id", how="anti")
    builder.append("divergences", uncollected(missing["condition_id"]))
    return pl.concat(kept), pl.concat(texts)


def _measure(batch: Batch, *, floor: float) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    on_candidate, spans = on_candidate_answers(batch.on_candidate, floor=floor)
    compared = outputs(batch.completions)
    rows = pl.concat(
        [
            divergences(batch.on_candidate, on_candidate),
            divergences(batch.on_trusted, on_trusted_answers(batch.on_trusted, floor=floor)),
            divergences(compared.keys, compared.values),
        ]
    )
    best = spans.sort("score", descending=True).group_by("condition_id", maintain_order=True).first()
    return rows, best.drop("score"), compared.changes


def _facts(
    conditions: pl.DataFrame, scores: pl.DataFrame, measured: pl.DataFrame, trusted: pl.DataFrame
) -> pl.DataFrame:
    """A row per condition with what rules are found and explained by."""
    kinds = measured.filter(pl.col("distance").is_in(KEPT)).pivot("distance", index="condition_id", values="value")
    return (
        conditions.drop("messages", "tools")
        .join(scores.select("condition_id", "score"), on="condition_id", how="left")
        .join(kinds, on="condition_id", how="left")
        .join(trusted, on="condition_id", how="left")
    )


def _append_positions(
    builder: Builder, folder: RunFolder, conditions: pl.DataFrame, ruled: Ruled, block: int
) -> None:
    shown = set(ruled.findings["pair_inside"].drop_nulls()) | set(ruled.findings["pair_outside"].drop_nulls())
    rows = conditions.with_row_index().filter(pl.col("condition_id").is_in(list(shown)))["index"]
    vocabulary = read_parquet(folder.vocabulary)
    for batch in blocks_of(folder, sorted({row // block for row in rows})):
        for side, answers in (("candidate", batch.on_candidate), ("trusted", batch.on_trusted)):
            chosen = answers.filter(pl.col("condition_id").is_in(list(shown)))
            builder.append("positions", positions(chosen, answered_by=side, vocabulary=vocabulary))


def _run_rows(
    settings: Mapping[str, Any], scores: pl.DataFrame, ruled: Ruled, searched: Searched | None
) -> pl.DataFrame:
    said = verdict(
        ruled.findings["status"].to_list(),
        searched=searched,
        conditions=scores.height,
        unscored=scores["score"].null_count(),
    )
    facts = {
        **settings,
        "verdict": said.word,
        "verdict_reasons": list(said.reasons),
        "threshold": ruled.threshold,
        "strongest_candidate": ruled.strongest,
        "distances": {name: distance.meaning for name, distance in DISTANCES.items()},
    }
    return pl.DataFrame(
        {"key": list(facts), "value": [json.dumps(value, ensure_ascii=False) for value in facts.values()]}
    )
