"""An inspection as one JSON document, for programs and for the terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diffbehav import untrusted
from diffbehav.intake.inspection import Folder, Inspection, Templates
from diffbehav.intake.template_behaviour import Behaviour
from diffbehav.records import excerpt

SCHEMA = "diffbehav.inspect/1"
Show = Callable[[str], str]


def document(found: Inspection, show: Show) -> dict[str, Any]:
    """The whole inspection; a number that could not be given is null, with its reason in `reasons`.

    `show` is what becomes of names and values out of a model folder; diffs are marked as untrusted.
    """
    return {
        "schema": SCHEMA,
        "candidate": _folder(found.candidate, show),
        "trusted": None if found.trusted is None else _folder(found.trusted, show),
        "settings": [
            {"file": each.file, "path": show(each.path), "candidate": _shown(each.candidate, show),
             "trusted": _shown(each.trusted, show)}
            for each in found.settings
        ],
        "tokenizer": None if found.tokenizer is None else _visible(found.tokenizer._asdict(), show),
        "tokenizer_reason": found.tokenizer_reason,
        "templates": [_template(each, show) for each in found.templates],
        "layers": [each._asdict() | {"name": show(each.name)} for each in found.layers],
        "tensors": [each._asdict() | {"name": show(each.name)} for each in found.tensors],
    }  # fmt: skip


def _folder(folder: Folder, show: Show) -> dict[str, Any]:
    shown: dict[str, Any] = _visible(
        folder._asdict()
        | {
            "path": str(folder.path),
            "files": [each._asdict() for each in folder.files],
            "refused": [each._asdict() for each in folder.refused],
            "dtypes": dict(folder.dtypes),
        },
        show,
    )
    return shown


def _template(each: Templates, show: Show) -> dict[str, Any]:
    found = each.difference
    behaviour = None
    if found is not None:
        example = found.example
        behaviour = {
            "compared": found.compared,
            "differs": found.differs,
            "levels": {
                dimension: {show(level): list(count) for level, count in levels.items()}
                for dimension, levels in found.levels.items()
            },
            "example": None if example is None else {
                "levels": _visible(example["levels"], show), "diff": untrusted.json_untrusted(example["diff"]),
            },
        }  # fmt: skip
    return {
        "name": show(each.name),
        "probes": each.probes,
        "candidate": _behaviour(each.candidate, show),
        "trusted": _behaviour(each.trusted, show),
        "difference": behaviour,
        "diff": untrusted.json_untrusted(each.diff) if each.diff else None,
    }


def _behaviour(found: Behaviour | None, show: Show) -> dict[str, Any] | None:
    if found is None:
        return None
    refused = [each["refused"] for each in found.outcomes if "refused" in each]
    return {
        "reads": _visible(found.reads, show),
        "depends_on": dict(found.depends_on),
        "refused": len(refused),
        "first_refusal": show(refused[0]) if refused else None,
        "stopped": found.stopped,
        "reason": found.reason,
    }


def _shown(value: Any, show: Show) -> str | None:
    return None if value is None else show(excerpt(value))


def _visible(value: Any, show: Show) -> Any:
    """A JSON value with `show` applied to every text, keys included."""
    if isinstance(value, str):
        return show(value)
    if isinstance(value, Mapping):
        return {show(str(key)): _visible(each, show) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_visible(each, show) for each in value]
    return value
