"""The distances of a condition by name: what each means, and how the samples of a condition become one value."""

from typing import Literal, NamedTuple


class Distance(NamedTuple):
    """One row of `divergences` per condition."""

    aggregate: Literal["max", "mean", "min"]
    """How the samples of a condition become one value."""
    meaning: str


FIRST_DIVERGENCE_NATS = 0.1
"""A token counts as divergent when the lower bound of its JSD is above this."""

DISTANCES: dict[str, Distance] = {
    "llr_scan": Distance("max", "largest log-likelihood ratio of any stretch of the candidate's answer, nats"),
    "llr_token_max": Distance("max", "largest log-likelihood ratio of any token of the candidate's answer, nats"),
    "llr_sequence": Distance("mean", "log-likelihood ratio of the candidate's whole answer, nats"),
    "kl_rao_blackwell_lower": Distance(
        "mean", "KL(candidate || trusted) along the candidate's answer, at least, nats"
    ),
    "jsd_max_lower": Distance("max", "largest token JSD on the candidate's answer, at least, nats in [0, ln 2]"),
    "jsd_max_upper": Distance("max", "the same, at most"),
    "tv_max_lower": Distance("max", "largest token total variation on the candidate's answer, at least, in [0, 1]"),
    "tv_max_upper": Distance("max", "the same, at most"),
    "first_divergent_token": Distance(
        "min", f"first token of the candidate's answer whose JSD is surely above {FIRST_DIVERGENCE_NATS} nats"
    ),
    "tf_drop": Distance("max", "largest fall of a token's log-probability on the trusted answer, nats"),
    "tf_jsd_max_lower": Distance("max", "largest token JSD on the trusted answer, at least, nats in [0, ln 2]"),
    "tf_jsd_max_upper": Distance("max", "the same, at most"),
    "text_differs": Distance("mean", "share of samples whose answers differ"),
    "token_edit": Distance("mean", "token edit distance of the two answers, 0 alike, 1 nothing in common"),
    "token_edit_excess": Distance("mean", "how far token_edit exceeds that of the trusted model against its replicate"),
    "call_distance": Distance("mean", "distance of the two multisets of tool calls, 0 alike, 1 nothing in common"),
    "extra_calls": Distance("mean", "tool calls of the candidate without a counterpart"),
    "missing_calls": Distance("mean", "tool calls of the trusted model without a counterpart"),
    "parse_failure_excess": Distance("mean", "candidate's answers with broken tool calls minus the trusted model's"),
}
