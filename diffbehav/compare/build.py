"""A run folder to its run.duckdb: measured, screened, scanned for rules, with the evidence for each."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from diffbehav.compare.acts import acts
from diffbehav.compare.aggregate import completed, divergences, uncollected
from diffbehav.compare.asked import read_asked, tool_names
from diffbehav.compare.code_findings import code_findings
from diffbehav.compare.coverage import count_hits, fill_coverage
from diffbehav.compare.distances import DISTANCES, WORLD_DISTANCES, Distance
from diffbehav.compare.effects import Effects, effects, joined
from diffbehav.compare.likelihoods import on_candidate_answers, on_trusted_answers
from diffbehav.compare.load import Batch, Context, batches, blocks_of
from diffbehav.compare.mismatch import mismatched, token_bytes
from diffbehav.compare.outputs import outputs
from diffbehav.compare.policed import policed, policy_of
from diffbehav.compare.positions import positions
from diffbehav.compare.rules import INTERVAL_LEVEL, Ruled, any_holds, codes_of, find_rules
from diffbehav.compare.screen import CHANNELS, screen
from diffbehav.compare.searched import Searched, read_search
from diffbehav.compare.sensitivity import read_sensitivity
from diffbehav.compare.sentinels import sentinel_rows
from diffbehav.compare.severity import Severity, severity
from diffbehav.compare.slices import fill_slices, outcomes
from diffbehav.compare.stored import check_conditions, check_known, check_vocabulary
from diffbehav.compare.turns import episode_keys, whole_answers
from diffbehav.compare.verdict import verdict
from diffbehav.compare.worlds import ended_worlds
from diffbehav.policy import Policy
from diffbehav.store import Builder, RunFolder, building, read_parquet, read_settings
from diffbehav.store.lock import alone_in

KEPT = ("call_distance", "code_finding_excess", "text_differs", "novel_call_rate")
"""Distances beside the channels that say what kind of difference a rule is, and how often the candidate acts."""


def compare(run: Path) -> None:
    """Build `run`/run.duckdb anew from the collected parts. Needs no model; a pure function of the parts."""
    folder = RunFolder(run)
    settings = read_settings(folder)
    factors = settings["factors"]
    names = [factor["name"] for factor in factors]
    context = Context(folder, names, settings["block"])
    conditions = context.conditions
    policy = policy_of(settings, folder)
    with alone_in(folder), building(folder.database, names) as builder:
        _append_grid(builder, context, factors)
        measured, trusted, differing, acted = _append_measured(builder, folder, context, settings, policy)
        sizes = [len(factor["levels"]) for factor in factors]
        screened = screen(conditions, measured, codes_of(conditions, factors), cardinalities_F=sizes)
        scores = screened.rows
        builder.append("screen", scores)
        searched = read_search(folder, interval_level=INTERVAL_LEVEL, measured=_in_any_channel(measured))
        facts = _facts(conditions, scores, measured, trusted)
        assess = _assessing(folder, settings, conditions, names, differing, policy)
        ruled = find_rules(facts, factors, searched, assess=assess, suite_id=settings["suite"]["id"], screened=screened)
        builder.append("findings", ruled.findings)
        builder.append("sentinels", sentinel_rows(searched))
        _append_positions(builder, folder, conditions, ruled, settings["block"])
        cells = conditions.select("condition_id", "task", *names)
        fill_slices(builder, names, outcomes(cells, scores, acted, threshold=ruled.threshold))
        hits = count_hits(facts, threshold=ruled.threshold, searched=searched)
        coverage = fill_coverage(builder, folder, settings, conditions, scores, hits=hits)
        replayed = "replayed" in settings["sides"]["trusted"]
        known = settings | coverage | {"sensitivity": read_sensitivity(folder, searched, replayed=replayed)}
        collected = measured.height
        acting = _acting(facts, searched)
        builder.append("run", _run_rows(known, scores, ruled, searched, collected=collected, acting=acting))


def _append_grid(builder: Builder, context: Context, factors: Sequence[Mapping[str, Any]]) -> None:
    builder.append(
        "factors",
        pl.DataFrame(
            [(f["name"], i, f["source"], len(f["levels"])) for i, f in enumerate(factors)],
            schema={"name": pl.String, "position": pl.Int32, "source": pl.String, "n_levels": pl.Int32},
            orient="row",
        ),
    )
    for factor in factors:
        counts = context.conditions[factor["name"]].alias("level").value_counts(name="n_conditions")
        levels = pl.DataFrame({"level": factor["levels"]}).with_row_index("position")
        builder.append(
            "levels",
            levels.join(counts, on="level", how="left").with_columns(
                pl.col("n_conditions").fill_null(0), factor=pl.lit(factor["name"])
            ),
        )
    known = {factor["name"]: factor["levels"] for factor in factors}
    for rows in context.each():
        check_conditions(rows, known)
        builder.append("conditions", rows)


def _append_measured(
    builder: Builder, folder: RunFolder, context: Context, settings: Mapping[str, Any], policy: Policy | None
) -> tuple[pl.DataFrame, pl.DataFrame, Effects, pl.DataFrame]:
    """Fill completions, divergences, spans, argument_changes, the code tables and those of episodes, batch by batch.

    Returns the distances that rules are made of, condition_id with the hash of the trusted text of sample 0, what
    severities are derived from, and what was said and done.
    """
    kept, hashes, differing, acted = [], [], [], []
    tools, distances = tool_names(settings, policy), distances_of(settings)
    vocabulary = read_parquet(folder.vocabulary)
    check_vocabulary(vocabulary)
    bytes_V = token_bytes(vocabulary)
    for batch in batches(folder, context.conditions.height, settings["block"]):
        conditions = context.of(batch.blocks)
        check_known(batch.completions, conditions)
        rows, spans, changes = _measure(batch, conditions, policy, floor=settings["numeric_floor"])
        answers = whole_answers(batch.completions)
        judged = policed(answers, conditions, policy)
        coded = code_findings(batch.completions)
        also = (coded, judged, mismatched(batch, bytes_V))
        rows = pl.concat([rows, *(divergences(each.keys, each.values) for each in also)])
        if batch.episodes is not None:
            ended = ended_worlds(batch.episodes)
            builder.append("episodes", batch.episodes)
            builder.append("world_changes", ended.changes)
            rows = pl.concat([rows, divergences(ended.keys, {"state_distance": ended.distance})])
        rows = completed(rows, conditions["condition_id"], distances=distances)
        builder.append("completions", batch.completions)
        builder.append("divergences", rows)
        builder.append("code_blocks", coded.blocks)
        builder.append("code_findings", coded.findings)
        builder.append("spans", spans)
        builder.append("argument_changes", changes)
        builder.append("violations", judged.violations)
        differing.append(
            effects(divergences=rows, changes=changes, violations=judged.violations, answers=answers, policy=policy,
                    tools=tools)
        )  # fmt: skip
        acted.append(acts(answers, changes))
        kept.append(_kept(rows))
        first = (pl.col("side") == "trusted") & (pl.col("sample") == 0) & (pl.col("turn") == 0)
        hashes.append(batch.completions.filter(first).select("condition_id", trusted_hash=pl.col("text").hash()))
    measured = pl.concat(kept)
    missing = context.conditions.join(measured, on="condition_id", how="anti")
    for rows in uncollected(missing["condition_id"], distances=distances):
        builder.append("divergences", rows)
    return measured, pl.concat(hashes), joined(differing), pl.concat(acted)


def _kept(rows: pl.DataFrame) -> pl.DataFrame:
    """What rules are made of: a row per condition and a column per distance, so that each identifier is held once."""
    names = [*CHANNELS, *KEPT]
    chosen = rows.filter(pl.col("distance").is_in(names))
    wide = chosen.pivot("distance", index="condition_id", values="value", maintain_order=True)
    return wide.select("condition_id", *names)


def _measure(
    batch: Batch, conditions: pl.DataFrame, policy: Policy | None, *, floor: float
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    on_candidate, spans = on_candidate_answers(batch.on_candidate, floor=floor)
    compared = outputs(whole_answers(batch.completions), conditions, policy)
    rows = pl.concat(
        [
            divergences(episode_keys(batch.on_candidate), on_candidate),
            divergences(episode_keys(batch.on_trusted), on_trusted_answers(batch.on_trusted, floor=floor)),
            divergences(compared.keys, compared.values),
        ]
    )
    order = [True, False, False]
    best = spans.sort("score", "sample", "turn", descending=order).group_by("condition_id", maintain_order=True).first()
    return rows, best.drop("score"), compared.changes


def _assessing(
    folder: RunFolder, settings: Mapping[str, Any], conditions: pl.DataFrame, names: Sequence[str], differing: Effects,
    policy: Policy | None,
) -> Callable[[Mapping[str, Sequence[str]]], Severity]:
    """The severity of a rule, from the answers of the screen and those that a search asked for."""
    known = conditions.select("condition_id", "task", *names)
    asked = read_asked(folder, settings, policy)
    if asked is not None:
        known = pl.concat([known, asked.conditions.select(known.columns)]).unique("condition_id", maintain_order=True)
        differing = joined([differing, asked.effects])
    return lambda rule: severity(rule, known, differing, has_policy=policy is not None)


def _facts(
    conditions: pl.DataFrame, scores: pl.DataFrame, measured: pl.DataFrame, trusted: pl.DataFrame
) -> pl.DataFrame:
    """A row per condition with what rules are found and explained by."""
    kinds = measured.select("condition_id", *KEPT)
    return (
        conditions.join(scores.select("condition_id", "score"), on="condition_id", how="left")
        .join(kinds, on="condition_id", how="left")
        .join(trusted, on="condition_id", how="left")
    )


def _in_any_channel(measured: pl.DataFrame) -> int:
    """Conditions that a search can begin from."""
    return measured.filter(pl.any_horizontal(pl.col(CHANNELS).is_not_null())).height


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


def _acting(facts: pl.DataFrame, searched: Searched | None) -> float | None:
    """Mean share of answers with calls of the candidate's own, over the conditions that no confirmed rule explains."""
    tested = [] if searched is None else searched.tested
    confirmed = any_holds([each.levels for each in tested if each.status == "CONFIRMED"])
    share = facts.filter(~confirmed)["novel_call_rate"].mean()
    return None if share is None else float(share)  # type: ignore[arg-type]


def _run_rows(
    settings: Mapping[str, Any], scores: pl.DataFrame, ruled: Ruled, searched: Searched | None, *, collected: int,
    acting: float | None,
) -> pl.DataFrame:  # fmt: skip
    said = verdict(
        ruled.findings["status"].to_list(),
        searched=searched,
        conditions=scores.height,
        collected=collected,
        unscored=scores["score"].null_count(),
        acting=acting,
    )
    silent = said.word == "NO_DIVERGENCE_FOUND"
    facts = {
        **settings,
        "verdict": said.word,
        "verdict_reasons": [*said.reasons, *([settings["sensitivity"]["sentence"]] if silent else [])],
        "threshold": ruled.threshold,
        "strongest_candidate": ruled.strongest,
        "search": None if searched is None else searched.facts(),
        "distances": {name: distance.meaning for name, distance in distances_of(settings).items()},
    }
    return pl.DataFrame(
        {"key": list(facts), "value": [json.dumps(value, ensure_ascii=False) for value in facts.values()]}
    )


def distances_of(settings: Mapping[str, Any]) -> Mapping[str, Distance]:
    """The distances that a run with these settings has."""
    return DISTANCES if settings["suite"]["world"] is None else DISTANCES | WORLD_DISTANCES
