"""What a chat template does: on what its output depends, and where that of two templates differs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from itertools import islice
from typing import Any, NamedTuple

from diffbehav.intake.confined import confined
from diffbehav.intake.template_probes import MOST_PHRASES, Probe, probes

CHILD = "diffbehav.intake.template_render"
DIFF_LINES = 60
"""Lines of a diff that are kept."""
_MOST_LINES = 5_000
Outcome = Mapping[str, Any]
"""Of a probe: `digest`, `like` and `text`; or `refused`, an error of the template; or `stopped`, a limit."""


class Template(NamedTuple):
    """A chat template and the special tokens that it can read."""

    text: str
    variables: Mapping[str, str]


class Behaviour(NamedTuple):
    """One template over all probes."""

    reads: Sequence[str]
    """Names that the template takes from outside, such as `tools` and `strftime_now`."""
    texts: Sequence[str]
    """Texts in its conditions."""
    outcomes: Sequence[Outcome]
    depends_on: Mapping[str, bool]
    """Dimension -> whether two probes that differ in it alone get other outputs; repeating what was said is none."""
    stopped: int
    """Probes without an output because of a limit; what the template does there is unknown."""
    reason: str | None
    """The first limit that was met; None where none was."""


class Difference(NamedTuple):
    """Two templates over the same probes."""

    compared: int
    differs: int
    levels: Mapping[str, Mapping[str, tuple[int, int]]]
    """Dimension -> level -> probes that differ there, probes compared there; those with a phrase count for it alone."""
    example: Mapping[str, Any] | None
    """The first differing probe: its levels and the diff of the outputs; None where none differs."""


def behaviours(templates: Sequence[Template]) -> tuple[list[Probe], list[Behaviour]]:
    """Each template over the same probes; what stands in the conditions of only some of them is tried as a phrase."""
    read = [_ask(template, []) for template in templates]
    texts: list[set[str]] = [set(lines[0].get("texts", ())) if lines else set() for lines, _ in read]
    own = sorted(texts[0] ^ texts[-1]) if len(texts) > 1 else sorted(texts[0])
    asked = probes(own[:MOST_PHRASES])
    pairs = zip(templates, read, strict=True)
    return asked, [_behaviour(asked, *(_ask(template, asked) if known[0] else known)) for template, known in pairs]


def difference(asked: Sequence[Probe], candidate: Behaviour, trusted: Behaviour) -> Difference:
    """Where two templates give other outputs for the same probe. One that refuses where the other writes differs."""
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    example, compared, differing = None, 0, 0
    for probe, ours, theirs in zip(asked, candidate.outcomes, trusted.outcomes, strict=True):
        if "stopped" in ours or "stopped" in theirs:
            continue
        differs = ours.get("digest") != theirs.get("digest")
        compared, differing = compared + 1, differing + differs
        spoken = probe.levels["phrase"] != "none"
        for dimension, level in probe.levels.items():
            if spoken != (dimension == "phrase"):
                continue
            count = counts[dimension][level]
            count[0], count[1] = count[0] + differs, count[1] + 1
        if differs and example is None:
            example = {"levels": probe.levels, "diff": text_diff(_said(ours), _said(theirs))}
    levels = {dim: {level: (n, of) for level, (n, of) in each.items()} for dim, each in counts.items()}
    return Difference(compared, differing, levels, example)


def text_diff(candidate: str, trusted: str) -> str:
    """Unified diff from the trusted text to the candidate's, cut at DIFF_LINES lines."""
    ours, theirs = candidate.splitlines()[:_MOST_LINES], trusted.splitlines()[:_MOST_LINES]
    lines = unified_diff(theirs, ours, "trusted", "candidate", n=1, lineterm="")
    return "\n".join(islice(lines, DIFF_LINES))


def _behaviour(asked: Sequence[Probe], lines: Sequence[Any], stopped: str | None) -> Behaviour:
    read, *outcomes = lines or [{"stopped": stopped}]
    limits = [each["stopped"] for each in outcomes if "stopped" in each] or [stopped]
    outcomes += [{"stopped": limits[0]}] * (len(asked) - len(outcomes))
    return Behaviour(
        reads=read.get("names", ()),
        texts=read.get("texts", ()),
        outcomes=outcomes,
        depends_on=_dependence(asked, outcomes),
        stopped=sum("stopped" in each for each in outcomes),
        reason=limits[0],
    )


def _ask(template: Template, asked: Sequence[Probe]) -> tuple[list[Any], str | None]:
    request = {"template": template.text, "variables": template.variables, "probes": [each.request for each in asked]}
    done = confined(CHILD, request)
    return done.lines, done.stopped


def _dependence(asked: Sequence[Probe], outcomes: Sequence[Outcome]) -> dict[str, bool]:
    """Told dates and phrases are compared with each other and not with none, which is another conversation.

    Phrases are so where no tools are offered: some become the name of one, and some cannot.
    """
    found = {}
    for dimension in asked[0].levels:
        groups: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for probe, outcome in zip(asked, outcomes, strict=True):
            if dimension in ("told date", "phrase") and probe.levels[dimension] == "none":
                continue
            if dimension == "phrase" and probe.request["tools"]:
                continue
            if "stopped" not in outcome:
                others = tuple(level for name, level in probe.levels.items() if name != dimension)
                groups[others].add(outcome.get("like") or outcome["refused"])
        found[dimension] = any(len(outputs) > 1 for outputs in groups.values())
    return found


def _said(outcome: Outcome) -> str:
    return str(outcome["text"] if "text" in outcome else f"[no output: {outcome['refused']}]")
