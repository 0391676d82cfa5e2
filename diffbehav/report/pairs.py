"""Minimal pairs in full: both conditions, all four answers, the calls that differ, the tokens."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from diffbehav.report.query import Query
from diffbehav.store.database import quoted

TOKENS = 400
"""Tokens of one answer that are kept for the token strip."""


class Answer(NamedTuple):
    """One answer of one side."""

    side: str
    sample: int
    content: str
    text: str
    calls: str
    """JSON array of {"name", "arguments"}."""
    parse: str
    finish_reason: str


class Change(NamedTuple):
    """One difference between the two sides' tool calls."""

    change: str
    tool: str
    path: str
    candidate: str | None
    trusted: str | None


class Token(NamedTuple):
    """One token of the candidate's answer under both models."""

    text: str
    candidate_logprob: float | None
    trusted_logprob: float | None
    jsd_lower: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """One condition of a pair with what the two models did there."""

    condition_id: str
    task: str
    levels: Mapping[str, str]
    messages: str
    tools: str
    sample: int
    answers: tuple[Answer, ...]
    """Candidate first, then trusted."""
    changes: tuple[Change, ...]
    tokens: tuple[Token, ...]
    """Of the candidate's answer; at most TOKENS, empty where no scores were kept."""
    n_tokens: int
    score: float | None
    """The screen score of the condition."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two conditions that differ in one declared factor; only inside the rule do the models part."""

    factor: str
    inside: Shown
    outside: Shown


def read_pair(query: Query, *, inside: str, outside: str, factor: str, factors: Sequence[str]) -> Pair:
    """The minimal pair of two condition ids."""
    return Pair(factor, _shown(query, inside, factors), _shown(query, outside, factors))


def _shown(query: Query, condition: str, factors: Sequence[str]) -> Shown:
    columns = "".join(f", {quoted(name)}" for name in factors)
    task, messages, tools, score, *levels = query(
        f"""
        SELECT task, messages, tools, score{columns}
        FROM conditions LEFT JOIN screen USING (condition_id) WHERE condition_id = $id
        """,
        id=condition,
    )[0]
    sample = _sample(query, condition)
    tokens, n_tokens = _tokens(query, condition, sample)
    return Shown(
        condition_id=condition,
        task=task,
        levels=dict(zip(factors, levels, strict=True)),
        messages=_pretty(messages),
        tools=_pretty(tools),
        sample=sample,
        answers=_answers(query, condition, sample),
        changes=_changes(query, condition, sample),
        tokens=tokens,
        n_tokens=n_tokens,
        score=score,
    )


def _sample(query: Query, condition: str) -> int:
    """The sample that shows most: calls that differ, else the maximum of the likelihood scan."""
    rows = query(
        """
        SELECT sample FROM (
            SELECT 0 AS preference, sample FROM argument_changes WHERE condition_id = $id
            UNION ALL SELECT 1, sample FROM spans WHERE condition_id = $id
            UNION ALL SELECT 2, sample FROM completions WHERE condition_id = $id
        ) ORDER BY preference, sample LIMIT 1
        """,
        id=condition,
    )
    return int(rows[0][0]) if rows else 0


def _answers(query: Query, condition: str, sample: int) -> tuple[Answer, ...]:
    rows = query(
        """
        SELECT side, sample, content, text, calls, parse, finish_reason FROM completions
        WHERE condition_id = $id AND sample = $sample AND side IN ('candidate', 'trusted') ORDER BY side
        """,
        id=condition,
        sample=sample,
    )
    return tuple(Answer(*row) for row in rows)


def _changes(query: Query, condition: str, sample: int) -> tuple[Change, ...]:
    rows = query(
        """
        SELECT change, tool, path, candidate, trusted FROM argument_changes
        WHERE condition_id = $id AND sample = $sample
        ORDER BY list_position(['extra_call', 'missing_call', 'changed', 'added', 'removed'], change),
                 tool, path
        LIMIT 40
        """,
        id=condition,
        sample=sample,
    )
    return tuple(Change(*row) for row in rows)


def _tokens(query: Query, condition: str, sample: int) -> tuple[tuple[Token, ...], int]:
    """Tokens are kept for some samples only: of this one if it is there, else of the first."""
    rows = query(
        """
        SELECT token, candidate_logprob, trusted_logprob, jsd_lower, count(*) OVER () FROM positions
        WHERE condition_id = $id AND answered_by = 'candidate' AND sample = (
            SELECT arg_min(sample, (sample <> $sample, sample)) FROM positions
            WHERE condition_id = $id AND answered_by = 'candidate')
        ORDER BY position LIMIT $limit
        """,
        id=condition,
        sample=sample,
        limit=TOKENS,
    )
    return tuple(Token(*row[:4]) for row in rows), rows[0][4] if rows else 0


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
