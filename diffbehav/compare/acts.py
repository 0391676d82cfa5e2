"""What came out of every answered condition: whether the sides differ, what the candidate said and what it did."""

import polars as pl

from diffbehav.compare.turns import EPISODE
from diffbehav.distance.said_did import DID, SAID, did, said

ACTS = {
    "condition_id": pl.String, "calls_differ": pl.Boolean, "text_differs": pl.Boolean,
    "replicate_calls_differ": pl.Boolean, "replicate_text_differs": pl.Boolean, "said": pl.String, "did": pl.String,
}  # fmt: skip


def acts(answers: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """A row, with the columns of ACTS, per condition that both sides answered: true where some sample differs.

    `answers` has one row per whole answer with `side`, `changes` the rows of argument_changes. Said and did are those
    of the most remarkable sample.
    """
    columns = [*EPISODE, "text", "content", "calls", "parse"]
    of = {side: answers.filter(pl.col("side") == side).select(columns) for side in ("trusted", "replicate")}
    candidate = answers.filter(pl.col("side") == "candidate").select(columns)
    both = candidate.join(of["trusted"], on=EPISODE, suffix="_trusted", maintain_order="left").join(
        of["replicate"], on=EPISODE, how="left", suffix="_replicate", maintain_order="left"
    )
    changed = changes.group_by(EPISODE).agg(
        extra=(pl.col("change") == "extra_call").any(), missing=(pl.col("change") == "missing_call").any(), changed=True
    )
    judged = both.join(changed, on=EPISODE, how="left", maintain_order="left").with_columns(
        pl.col("extra", "missing", "changed").fill_null(False)
    )
    did_N = did(
        judged["calls"].to_numpy(),
        failed_N=(judged["parse"] == "failed").to_numpy(),
        extra_N=judged["extra"].to_numpy(),
        missing_N=judged["missing"].to_numpy(),
        changed_N=judged["changed"].to_numpy(),
    )
    rank = pl.col("did").cast(pl.Enum(DID)).to_physical()
    rows = judged.select(
        "condition_id",
        calls_differ=pl.col("calls") != pl.col("calls_trusted"),
        text_differs=pl.col("text") != pl.col("text_trusted"),
        replicate_calls_differ=pl.col("calls_replicate") != pl.col("calls_trusted"),
        replicate_text_differs=pl.col("text_replicate") != pl.col("text_trusted"),
        said=pl.Series(said(judged["content"].to_list()), dtype=pl.Enum(SAID)).cast(pl.String),
        did=pl.Series(did_N.tolist(), dtype=pl.String),
    )
    differ = pl.col("calls_differ", "text_differs", "replicate_calls_differ", "replicate_text_differs")
    return rows.group_by("condition_id", maintain_order=True).agg(
        # Of what was not answered there is no difference to speak of: null, and not false.
        pl.when(differ.count() > 0).then(differ.any()), pl.col("said", "did").get(rank.arg_max())
    ).cast(ACTS)  # type: ignore[arg-type]
