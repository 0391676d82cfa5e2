"""Token by token: both models' log-probabilities and the JSD bounds along the answers shown as evidence."""

import numpy as np
import polars as pl

from diffbehav.compare.likelihoods import ragged


def positions(answers: pl.DataFrame, *, answered_by: str, vocabulary: pl.DataFrame) -> pl.DataFrame:
    """Rows of `positions` for the scored answers of one side; `answers` is a frame of a Batch."""
    scored = ragged(answers)
    lengths = np.diff(scored.offsets_N1)
    rows = np.repeat(scored.rows_N, lengths)
    keys = answers.select("condition_id", "sample", "turn")[rows.tolist()]
    return (
        keys.with_columns(
            answered_by=pl.lit(answered_by),
            position=pl.Series(np.arange(len(rows)) - np.repeat(scored.offsets_N1[:-1], lengths)),
            token_id=pl.Series(scored.tokens_M),
            candidate_logprob=pl.Series(scored.candidate_M).cast(pl.Float64),
            trusted_logprob=pl.Series(scored.trusted_M).cast(pl.Float64),
            jsd_lower=pl.Series(scored.bounds.jsd_lower_M),
            jsd_upper=pl.Series(scored.bounds.jsd_upper_M),
        )
        .join(vocabulary.rename({"text": "token"}), on="token_id", how="left")
        .with_columns(pl.col("token").fill_null("\N{REPLACEMENT CHARACTER}"))
    )
