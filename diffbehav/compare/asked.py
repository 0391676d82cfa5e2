"""The answers that a search asked for, as evidence beside those of the screen."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from diffbehav.compare.aggregate import divergences
from diffbehav.compare.code_findings import code_findings
from diffbehav.compare.effects import Effects, effects, joined
from diffbehav.compare.load import blocks_of
from diffbehav.compare.outputs import outputs
from diffbehav.compare.policed import policed
from diffbehav.compare.stored import check_known
from diffbehav.compare.turns import whole_answers
from diffbehav.policy import Policy
from diffbehav.records import canonical_json
from diffbehav.store import RunFolder, part_path, read_parquet
from diffbehav.suite import conditions, suite_from_resolved


class AskedAnswers(NamedTuple):
    """What a search asked and what differs there."""

    conditions: pl.DataFrame
    """condition_id, task, the factors, messages and tools: a row per condition."""
    effects: Effects


def read_asked(folder: RunFolder, settings: Mapping[str, Any], policy: Policy | None) -> AskedAnswers | None:
    """The answers of the run's search; None where there was none, or where it did not keep which cells it asked."""
    numbers = [int(path.stem.removeprefix("part-")) for path in sorted(folder.asked.cells.glob("part-*.parquet"))]
    numbers = [n for n in numbers if part_path(folder.asked.scores("trusted", "trusted"), n).exists()]
    if not numbers:
        return None
    suite = suite_from_resolved(settings["suite"], name=str(folder.settings))
    cells = pl.concat(read_parquet(part_path(folder.asked.cells, number)) for number in numbers)
    rows = [
        {
            "condition_id": each.id, "task": each.task, **each.levels,
            "messages": canonical_json(list(each.messages)), "tools": canonical_json(list(each.tools)),
        }
        for each in conditions(suite, cells["grid_index"].unique(maintain_order=True).to_list())
    ]  # fmt: skip
    asked = pl.DataFrame(rows, infer_schema_length=None).unique("condition_id", maintain_order=True)
    names = tool_names(settings, policy)
    parts = []
    for batch in blocks_of(folder.asked, numbers):
        check_known(batch.completions, asked)
        answers = whole_answers(batch.completions)
        compared, judged = outputs(answers, asked, policy), policed(answers, asked, policy)
        coded = code_findings(batch.completions)
        values = [divergences(each.keys, each.values) for each in (compared, judged, coded)]
        parts.append(
            effects(
                divergences=pl.concat(values), changes=compared.changes, violations=judged.violations,
                answers=answers, policy=policy, tools=names,
            )
        )  # fmt: skip
    return AskedAnswers(asked, joined(parts))


def tool_names(settings: Mapping[str, Any], policy: Policy | None) -> list[str]:
    """The tools that the suite may offer and those that the policy lists: names that no model made up."""
    offered = [tool["function"]["name"] for tool in settings["suite"]["tools"]]
    return [*offered, *([] if policy is None else (tool for tool in policy.tools if tool not in offered))]
