"""What a run cannot have seen: the list that every report and every findings document carries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from diffbehav.compare.rules import MOST_RULES, TOLERANCE
from diffbehav.report.coverage import Coverage
from diffbehav.report.query import Query
from diffbehav.stats.refine import MOST_FACTORS

NAMED = 5
"""Underexposed combinations that the sentence names; the table has more."""
REASONS = 5
NEEDS_LIVE = "only the live model can score it"
"""What every reason says that an engine gives which replays stored scores."""

Facts = Mapping[str, Any]


class Untested(NamedTuple):
    """One thing that was not tested."""

    what: str
    """Stable name."""
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What the answers themselves say about the limits of the run."""

    n_conditions: int
    n_tasks: int
    turns: int
    """The most turns that a conversation had."""
    cut: Mapping[str, tuple[int, int]]
    """Side -> answers cut at the token limit, answers."""
    unscored: Mapping[str, int]
    """Reason -> conditions without a screen score."""
    unstored: Mapping[str, int]
    """Distance -> conditions in which it needs a score that a replayed side does not hold."""


def read_limits(query: Query) -> Limits:
    """Counted in run.duckdb."""
    n_conditions, n_tasks = query("SELECT count(*), count(DISTINCT task) FROM conditions")[0]
    cut = query(
        "SELECT side, count(*) FILTER (finish_reason = 'length'), count(*) FROM completions GROUP BY 1 ORDER BY 1"
    )
    unscored = query("SELECT reason, count(*) AS n FROM screen WHERE score IS NULL GROUP BY 1 ORDER BY n DESC, reason")
    turns = query("SELECT coalesce(max(turn), 0) + 1 FROM completions")[0][0]
    unstored = query(
        "SELECT distance, count(DISTINCT condition_id) FROM divergences WHERE contains(reason, $reason) GROUP BY 1 "
        "ORDER BY 1",
        reason=NEEDS_LIVE,
    )
    cuts = {row[0]: tuple(row[1:]) for row in cut}
    return Limits(n_conditions, n_tasks, turns, cuts, dict(unscored), dict(unstored))


def untested(facts: Facts, coverage: Coverage | None, limits: Limits) -> list[Untested]:
    """The whole list, in the order of the report."""
    return [
        Untested(
            "catalogue",
            f"Values outside the catalogue of the suite (digest {facts.get('suite_digest', 'not recorded')}): every "
            "factor was tested at its listed levels and at no other.",
        ),
        *(_combinations(coverage) if coverage else [_uncounted(facts)]),
        *_pools(coverage),
        *_single_levels(coverage),
        _sampling(facts.get("sampling", {})),
        _turns(limits.turns),
        _cut(facts.get("sampling", {}).get("max_tokens"), limits.cut),
        *_unseen(facts),
        *_unstored(facts, limits),
        Untested("tasks", f"Other tasks: {limits.n_tasks:,} were asked."),
        Untested("secrets", "Unknown secret strings: no grid finds a random passphrase."),
        Untested(
            "harness",
            "Triggers on what the harness cannot set: hardware, network, load, the clock and environment of the "
            "serving machine, other requests in the same batch.",
        ),
        Untested(
            "inputs",
            "Tools that were not offered, images, sound, longer contexts and languages that the suite does not have, "
            "and what the real consequences of a call would have been.",
        ),
        _unscored(limits),
        _scan(),
        _search(coverage),
    ]


def _uncounted(facts: Facts) -> Untested:
    reason = facts.get("coverage_reason", "the database is without it; build it again with `diffbehav compare`")
    return Untested("combinations", f"Combinations of levels: which of them were met was not counted: {reason}.")


def _combinations(coverage: Coverage) -> Iterator[Untested]:
    facts, scope = coverage.facts, coverage.scope
    runs = "" if facts["ledger"] is None else f" over all {facts['ledger']['runs']:,} runs of the ledger"
    largest = [row for row in coverage.underexposed if row["scope"] == scope][:NAMED]
    named = "; ".join(f"{_levels(row['levels'])} ({row['exposures']:,})" for row in largest)
    yield Untested(
        "combinations",
        f"Combinations with fewer than {facts['exposures']} exposures{runs}: {coverage.below(scope):,} combinations of "
        f"up to three factors. {_why(facts)}" + (f" The largest, with their exposures: {named}." if named else ""),
    )
    triples = coverage.strength(3, scope=scope)
    if triples["possible"]:
        text = (
            f"Rules over three factors: {_share(triples['once'], triples['possible'])} of their "
            f"{triples['possible']:,} combinations were met at least once{runs}, "
            f"{_share(triples['often'], triples['possible'])} at least {facts['exposures']} times"
        )
    else:
        text = "Rules over three factors: the suite has no three axes that were counted"
    left_out = f", and {triples['uncounted']:,} sets of three factors have too many to be counted"
    more = left_out if triples["uncounted"] else ""
    yield Untested("triples", f"{text}{more}. Rules over four factors and more were not counted at all.")


def _why(facts: Facts) -> str:
    return (
        f"A trigger that shows in {facts['sensitivity']:.0%} of its exposures (assumed, not measured) stays silent in "
        f"{facts['exposures']} of them with a chance below {facts['miss']:.0%}."
    )


def _levels(levels: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {level}" for name, level in levels.items())


def _pools(coverage: Coverage | None) -> Iterator[Untested]:
    for name, pool in (coverage.facts["pools"] if coverage else {}).items():
        conditions = coverage.facts["conditions"] if coverage else 0
        alone = (
            f"only {pool['alone']:,} of {conditions:,} conditions had exactly one of them"
            if pool["alone"]
            else "no condition had exactly one of them"
        )
        yield Untested(
            "pools",
            f"The {pool['levels']:,} levels of `{name}` by themselves: it is pooled, several levels share a context, "
            f"and {alone}. A trigger may be diluted in a pool.",
        )


def _single_levels(coverage: Coverage | None) -> Iterator[Untested]:
    single = [column.name for column in (coverage.columns if coverage else ()) if column.n_levels == 1]
    if single:
        names = ", ".join(f"`{name}`" for name in single)
        yield Untested("single_levels", f"Anything about {names}: one level only, so nothing could differ with it.")


def _sampling(sampling: Facts) -> Untested:
    names = ("temperature", "n", "seed")
    used = ", ".join(f"{name} {sampling[name]}" for name in names if sampling.get(name) is not None)
    return Untested("sampling", f"Other sampling settings than those of this run ({used or 'not recorded'}).")


def _turns(turns: int) -> Untested:
    if turns == 1:
        return Untested("turns", "Conversations that go on: every model was asked for one turn only.")
    return Untested("turns", f"Conversations of more than {turns:,} turns of the model.")


def _cut(most: int | None, cut: Mapping[str, tuple[int, int]]) -> Untested:
    limit = "max_tokens" if most is None else f"max_tokens ({most:,})"
    rates = ", ".join(f"{side} {k:,} of {n:,} answers ({_share(k, n)})" for side, (k, n) in cut.items() if n)
    known = rates or "no answer was collected"
    return Untested("cut", f"What an answer would have said after {limit}. Cut there: {known}.")


def _unseen(facts: Facts) -> Iterator[Untested]:
    """Of a side that was served elsewhere nothing is known but its tokens."""
    sides = facts.get("sides", {})
    served = {name: each["endpoint"] for name, each in sides.items() if "endpoint" in each}
    if served:
        named = " and ".join(f"the {name} ({address})" for name, address in served.items())
        yield Untested(
            "weights",
            f"The weights of {named}: not seen. A server shows neither weights nor dtype, quantization or chat "
            "template; the digests are those of the folder that was named, and what ran is known by its tokens and "
            "their probabilities alone. This run is comparable by tokens only.",
        )


def _unstored(facts: Facts, limits: Limits) -> Iterator[Untested]:
    """What a replayed trusted side leaves open."""
    trusted = facts.get("sides", {}).get("trusted", {})
    if "replayed" not in trusted:
        return
    most = max(limits.unstored.values(), default=0)
    held = (
        f"in {most:,} of {limits.n_conditions:,} conditions the candidate gave an answer of its own, so that "
        f"{', '.join(limits.unstored)} have no number there"
        if most
        else "every answer of the candidate was a stored one"
    )
    yield Untested(
        "live",
        f"What only the live trusted model can say: its answers are those of {trusted['replayed']}, replayed. The "
        f"score it would give an answer that it did not give itself is not stored; {held}. Text, calls and the "
        "teacher-forced distances on its stored answers (tf_*) are measured as with the live model. No rule can be "
        "confirmed on fresh data.",
    )


def _unscored(limits: Limits) -> Untested:
    missing = sum(limits.unscored.values())
    text = f"Conditions without a screen score: {missing:,} of {limits.n_conditions:,}"
    if not missing:
        return Untested("unscored", f"{text}.")
    shown = list(limits.unscored.items())[:REASONS]
    reasons = "; ".join(f"{reason} ({n:,})" for reason, n in shown)
    rest = len(limits.unscored) - len(shown)
    more = f"; and {rest:,} more reasons" if rest > 0 else ""
    return Untested("unscored", f"{text}. They count as no exposure. Reasons: {reasons}{more}.")


def _scan() -> Untested:
    return Untested(
        "scan",
        f"Rules beyond the scan: it proposes from single levels and pairs of levels and widens them to at most "
        f"{MOST_FACTORS} factors, lists {MOST_RULES} rules at most, leaves out what exceeds by {100 * TOLERANCE:g} "
        "points or less, and sees a trigger weakly that holds in more than half of the conditions, unless it holds "
        "at all but some levels of one factor.",
    )


def _search(coverage: Coverage | None) -> Untested:
    search = coverage.facts["search"] if coverage else None
    if search is None:
        return Untested("search", "Fresh data: no search has put the rules to the test or asked high conditions again.")
    end = "had nothing left to ask" if search["exhausted"] else "ended before it had asked everything"
    met = "collected condition met"
    wide = ""
    if search["wide"]:
        met = "collected condition or scored context met"
        wide = (
            f"In {search['wide']:,} further contexts answers of the trusted model were scored and none was generated: "
            "what leaves those answers likely does not show there. "
        )
    return Untested(
        "search",
        f"Anything beyond the search: it asked {search['calls_spent']:,} conditions and {end}. {wide}It follows up "
        f"what the screen shows; a trigger that no {met} is not found by it.",
    )


def _share(part: int, whole: int) -> str:
    share = part / whole
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if share > 0.999 else f"{100 * share:.1f} %"


def as_json(found: Sequence[Untested]) -> list[dict[str, str]]:
    """The list as JSON values."""
    return [each._asdict() for each in found]
