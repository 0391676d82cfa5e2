"""A plan as lines for a person, from its JSON values."""

from collections.abc import Iterator, Mapping
from typing import Any

Plan = Mapping[str, Any]
LISTED = 12
"""Pairs of factors that are listed, the least covered first."""


def plan_lines(plan: Plan) -> Iterator[str]:
    """Everything of the plan; remarks first, because they may change it."""
    suite = plan["suite"]
    yield f"{suite['id']}@{suite['version']}  {plan['design']['kind']} design  digest {suite['digest'][:12]}"
    for remark in plan["remarks"]:
        yield f"! {remark}"
    yield ""
    yield f"cells of the grid    {plan['cells']:,}"
    yield f"conditions           {plan['conditions']:,}"
    if settings := plan["engine_settings"]:
        yield (
            f"engine settings      {len(settings):,} ({', '.join(settings)}): so many engines of each model are open "
            "at the same time; an adapter shares those of its base"
        )
    yield from _calls(plan)
    yield ""
    yield from _coverage(plan["coverage"])
    yield ""
    yield from _detectable(plan)
    yield ""
    yield from _measured(plan)


def _calls(plan: Plan) -> Iterator[str]:
    collect, search = plan["calls"]["collect"], plan["calls"]["search"]
    answers = f"{collect['candidate']:,} candidate, {collect['trusted']:,} trusted, {collect['replicate']:,} replicate"
    turns = "" if plan["max_turns"] == 1 else f", each of up to {plan['max_turns']} turns"
    yield f"collect              answers: {answers}{turns}; scores: {collect['scores']:,}"
    yield (
        f"search, at most      answers: {search['candidate']:,} candidate, {search['trusted']:,} trusted; "
        f"scores: {search['scores']:,}"
    )


def _coverage(coverage: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"A trigger that shows in {coverage['sensitivity']:.0%} of its exposures (assumed) needs "
        f"{coverage['exposures']} to stay silent with a chance below {coverage['miss']:.0%}."
    )
    yield f"{'combinations of':<34}{'possible':>12}{'>= 1':>9}{'>= ' + str(coverage['exposures']):>9}"
    for row in coverage["strengths"]:
        left_out = f"  ({row['uncounted']:,} sets not counted)" if row["uncounted"] else ""
        axes = ("one axis", "two axes", "three axes")[row["strength"] - 1]
        yield _counts(axes, row) + left_out
    possible = [row for row in coverage["pairs"] if row["possible"]]
    pairs = sorted(possible, key=lambda row: row["often"] / row["possible"])
    for row in pairs[:LISTED]:
        yield _counts(f"  {row['first']} and {row['second']}", row)
    if len(pairs) > LISTED:
        yield f"  and {len(pairs) - LISTED:,} more pairs of factors, each covered as well or better"
    for name, key in (("rarest level", "rarest_level"), ("rarest pair", "rarest_pair")):
        found = coverage[key]
        if found is not None:
            levels = ", ".join(f"{factor} = {level}" for factor, level in found["levels"].items())
            yield f"{name:<21}{levels}: {found['exposures']:,} exposures"


def _counts(name: str, row: Mapping[str, Any]) -> str:
    possible = row["possible"]
    shares = [_percent(row[key], possible) for key in ("once", "often")] if possible else ["none", "none"]
    return f"{name[:33]:<34}{possible:>12,}{shares[0]:>9}{shares[1]:>9}"


def _detectable(plan: Plan) -> Iterator[str]:
    yield (
        "A trigger that covers more than this share of what the suite draws shows at least once with 95 %, by "
        f"{plan['contexts']:,} independent contexts ({plan['contexts_how']}):"
    )
    for row in plan["detectable"]:
        yield f"  {100 * row['share']:.3g} % if one exposure shows with chance {row['sensitivity']:g}"


def _measured(plan: Plan) -> Iterator[str]:
    found = plan["measured"]
    if found is None:
        yield "Tokens, disk and time depend on the models: name --candidate and --trusted to have them measured."
        return
    yield f"measured on {found['calibrated']:,} conditions; intervals are 95 % where they are of means"
    prompt = found["prompt_tokens"]
    yield f"prompt tokens        {prompt['mean']:,.0f} a condition{_between(prompt)}"
    known = {side: mean for side, mean in found["answer_tokens"].items() if mean["mean"] is not None}
    answers = ", ".join(f"{side} {mean['mean']:,.1f}{_between(mean)}" for side, mean in known.items())
    yield f"answer tokens        {answers} a condition"
    drawn = [each["mean"] for each in found["drawing_answer_tokens"].values() if each["mean"] is not None]
    prompts = found["drawing_prompt_tokens"]["mean"]
    yield f"to draw answers      {prompts:,} prompt and {sum(drawn):,} answer tokens in all; scoring is not in this"
    yield f"disk                 {found['parts_bytes'] / 1e6:,.1f} MB of parts; run.duckdb and report are not in this"
    time, start = found["collect_seconds"], _duration(found["start_seconds"])
    yield f"time to collect      {_duration(time['low'])} to {_duration(time['high'])}, {start} of it to start"
    yield (
        f"time to search       at most {_duration(found['search_seconds']['high'])} for the whole budget; "
        "a search ends earlier when nothing is left to ask"
    )


def _between(mean: Mapping[str, float | None]) -> str:
    low, high = mean["low"], mean["high"]
    if low is None or high is None:
        return " (one value)"
    return "" if low == high else f" ({low:,.1f} to {high:,.1f})"


def _percent(part: int, whole: int) -> str:
    share = part / whole
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    if share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if share > 0.999 else f"{100 * share:.1f} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
