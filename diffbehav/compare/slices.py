"""What came out of every condition, and its counts for every level and pair of levels: filled inside the database.

What a model says is told apart by words of its answer. That is a heuristic, and one for English.
"""

from collections.abc import Sequence
from itertools import combinations

from diffbehav.distance.said_did import CLAIMS_DONE, REFUSES
from diffbehav.store import Builder, quoted

SAID = ("refuses", "claims it is done", "announces", "other text", "silent")
DID = ("no call", "same calls", "other arguments", "missing call", "other tool", "extra call", "broken call")
"""What the candidate's calls are against the trusted ones, the last the most remarkable."""
COUNTS = """
    count(flagged) AS n, count(*) FILTER (flagged) AS n_flagged, max(score) AS max_score,
    count(calls_differ) AS n_answered, count(*) FILTER (calls_differ) AS n_calls,
    count(*) FILTER (text_differs) AS n_text, count(replicate_calls_differ) AS n_replicated,
    count(*) FILTER (replicate_calls_differ) AS n_replicate_calls,
    count(*) FILTER (replicate_text_differs) AS n_replicate_text
"""
"""What `slices` counts, over any selection of `outcomes`."""
P99 = "quantile_cont(score, 0.99) AS p99_score"

_OUTCOMES = """
    WITH changed AS (
        SELECT condition_id, sample,
               bool_or(change = 'extra_call') AS extra, bool_or(change = 'missing_call') AS missing
        FROM argument_changes GROUP BY ALL
    ), compared AS (
        SELECT condition_id, candidate.calls <> trusted.calls AS calls_differ,
               candidate.text <> trusted.text AS text_differs,
               replicate.calls <> trusted.calls AS replicate_calls_differ,
               replicate.text <> trusted.text AS replicate_text_differs,
               CASE WHEN trim(candidate.content) = '' THEN 'silent'
                    WHEN regexp_matches(lower(candidate.content), $refuses) THEN 'refuses'
                    WHEN regexp_matches(lower(candidate.content), $claims) THEN 'claims it is done'
                    WHEN regexp_matches(lower(candidate.content), $announces) THEN 'announces'
                    ELSE 'other text' END AS said,
               CASE WHEN candidate.parse = 'failed' THEN 'broken call'
                    WHEN changed.extra AND changed.missing THEN 'other tool'
                    WHEN changed.extra THEN 'extra call'
                    WHEN changed.missing THEN 'missing call'
                    WHEN changed.condition_id IS NOT NULL THEN 'other arguments'
                    WHEN candidate.calls = '[]' THEN 'no call'
                    ELSE 'same calls' END AS did
        FROM (FROM completions WHERE side = 'candidate') AS candidate
        JOIN (FROM completions WHERE side = 'trusted') AS trusted USING (condition_id, sample, turn)
        LEFT JOIN (FROM completions WHERE side = 'replicate') AS replicate USING (condition_id, sample, turn)
        LEFT JOIN changed USING (condition_id, sample)
    ), answered AS (
        SELECT condition_id, bool_or(calls_differ) AS calls_differ, bool_or(text_differs) AS text_differs,
               bool_or(replicate_calls_differ) AS replicate_calls_differ,
               bool_or(replicate_text_differs) AS replicate_text_differs,
               arg_max(said, list_position($did, did)) AS said, arg_max(did, list_position($did, did)) AS did
        FROM compared GROUP BY condition_id
    )
    INSERT INTO outcomes
    SELECT condition_id, task, {factors} score, score > $threshold, calls_differ, text_differs, replicate_calls_differ,
           replicate_text_differs, said, did
    FROM conditions JOIN screen USING (condition_id) LEFT JOIN answered USING (condition_id)
"""
_ANNOUNCES = r"\b(i will|i'll|let me|going to|now i)\b"


def fill_slices(builder: Builder, factors: Sequence[str], *, threshold: float | None) -> None:
    """Fill `outcomes` and `slices`; a condition is flagged when its screen score is above `threshold`."""
    columns = "".join(f"{quoted(name)}, " for name in factors)
    words = {"refuses": REFUSES.pattern, "claims": CLAIMS_DONE.pattern, "announces": _ANNOUNCES, "did": list(DID)}
    builder.execute(_OUTCOMES.format(factors=columns), threshold=threshold, **words)
    axes = ["task", *factors]
    builder.execute("BEGIN TRANSACTION")
    for names in [(), *((name,) for name in axes), *combinations(axes, 2)]:
        builder.execute(_slice(names), **{f"axis_{i}": name for i, name in enumerate(names)})
    builder.execute("COMMIT")


def _slice(names: Sequence[str]) -> str:
    axes = [f"$axis_{i}, {quoted(name)}" for i, name in enumerate(names)] + ["NULL, NULL"] * (2 - len(names))
    p99 = P99 if len(names) < 2 else "NULL"
    grouped = f"GROUP BY {', '.join(map(quoted, names))}" if names else ""
    return f"INSERT INTO slices SELECT {', '.join(axes)}, count(*), {COUNTS}, {p99} FROM outcomes {grouped}"
