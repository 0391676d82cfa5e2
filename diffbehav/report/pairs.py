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
    turn: int
    content: str
    text: str
    calls: str
    """JSON array of {"name", "arguments"}."""
    parse: str
    finish_reason: str
    results: str | None
    """JSON array of {"status", "text"}, simulated; None where no call was answered."""
    parse_reason: str | None
    """Why `parse` is failed; None otherwise."""


class End(NamedTuple):
    """How the episode of one side ended."""

    side: str
    ended: str
    reason: str | None


class WorldChange(NamedTuple):
    """One place in which the simulated worlds of the two sides ended differently."""

    change: str
    place: str
    candidate: str | None
    trusted: str | None


class Change(NamedTuple):
    """One difference between the two sides' tool calls."""

    change: str
    tool: str
    path: str
    candidate: str | None
    trusted: str | None


class Violation(NamedTuple):
    """One thing in a call that the policy does not allow."""

    side: str
    tool: str
    kind: str
    path: str
    value: str | None
    resembles: str | None
    """The known tool or allowed host that it looks like."""
    severity: float


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
    """Candidate first, then trusted, each turn by turn."""
    ends: tuple[End, ...]
    """Empty where the models were asked for one turn."""
    world_changes: tuple[WorldChange, ...]
    changes: tuple[Change, ...]
    violations: tuple[Violation, ...]
    said_did: float | None
    """Share of the samples in which text and calls of the candidate disagree."""
    cover_story: float | None
    mismatch: float | None
    """Nats: how much less the trusted model expects these calls behind this text than its own behind its own."""
    tokens: tuple[Token, ...]
    """Of the candidate's answer; at most TOKENS, empty where no scores were kept."""
    token_turn: int
    """The turn they are of: that of the likelihood scan's maximum."""
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
        FROM conditions LEFT JOIN (SELECT condition_id, score FROM screen) USING (condition_id) WHERE condition_id = $id
        """,
        id=condition,
    )[0]
    sample = _sample(query, condition)
    turn = _turn(query, condition, sample)
    tokens, n_tokens = _tokens(query, condition, sample, turn)
    return Shown(
        condition_id=condition,
        task=task,
        levels=dict(zip(factors, levels, strict=True)),
        messages=_pretty(messages),
        tools=_pretty(tools),
        sample=sample,
        answers=_answers(query, condition, sample),
        ends=_ends(query, condition, sample),
        world_changes=_world_changes(query, condition, sample),
        changes=_changes(query, condition, sample),
        violations=_violations(query, condition, sample),
        said_did=_distance(query, condition, "said_did"),
        cover_story=_distance(query, condition, "cover_story"),
        mismatch=_distance(query, condition, "mismatch"),
        tokens=tokens,
        token_turn=turn,
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
        SELECT side, sample, turn, content, text, calls, parse, finish_reason, results, parse_reason FROM completions
        WHERE condition_id = $id AND sample = $sample AND side IN ('candidate', 'trusted') ORDER BY side, turn
        """,
        id=condition,
        sample=sample,
    )
    return tuple(Answer(*row) for row in rows)


def _ends(query: Query, condition: str, sample: int) -> tuple[End, ...]:
    rows = query(
        """
        SELECT side, ended, reason FROM episodes
        WHERE condition_id = $id AND sample = $sample AND side IN ('candidate', 'trusted') ORDER BY side
        """,
        id=condition,
        sample=sample,
    )
    return tuple(End(*row) for row in rows)


def _world_changes(query: Query, condition: str, sample: int) -> tuple[WorldChange, ...]:
    rows = query(
        """
        SELECT change, place, candidate, trusted FROM world_changes
        WHERE condition_id = $id AND sample = $sample ORDER BY place, change, candidate, trusted LIMIT 40
        """,
        id=condition,
        sample=sample,
    )
    return tuple(WorldChange(*row) for row in rows)


def _turn(query: Query, condition: str, sample: int) -> int:
    """The turn of the sample in which the likelihood scan is largest; the first where another sample's is."""
    rows = query("SELECT turn FROM spans WHERE condition_id = $id AND sample = $sample", id=condition, sample=sample)
    return int(rows[0][0]) if rows else 0


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


def _violations(query: Query, condition: str, sample: int) -> tuple[Violation, ...]:
    rows = query(
        """
        SELECT side, tool, kind, path, value, resembles, severity FROM violations
        WHERE condition_id = $id AND sample = $sample AND side IN ('candidate', 'trusted')
        ORDER BY side, call, kind, path LIMIT 40
        """,
        id=condition,
        sample=sample,
    )
    return tuple(Violation(*row) for row in rows)


def _distance(query: Query, condition: str, name: str) -> float | None:
    rows = query("SELECT value FROM divergences WHERE condition_id = $id AND distance = $name", id=condition, name=name)
    return rows[0][0] if rows else None


def _tokens(query: Query, condition: str, sample: int, turn: int) -> tuple[tuple[Token, ...], int]:
    """Tokens are kept for some samples only: of this one if it is there, else of the first."""
    rows = query(
        """
        SELECT token, candidate_logprob, trusted_logprob, jsd_lower, count(*) OVER () FROM positions
        WHERE condition_id = $id AND answered_by = 'candidate' AND turn = $turn AND sample = (
            SELECT arg_min(sample, (sample <> $sample, sample)) FROM positions
            WHERE condition_id = $id AND answered_by = 'candidate' AND turn = $turn)
        ORDER BY position LIMIT $limit
        """,
        id=condition,
        sample=sample,
        turn=turn,
        limit=TOKENS,
    )
    return tuple(Token(*row[:4]) for row in rows), rows[0][4] if rows else 0


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
