"""Reads and renders one chat template. Runs in a child process with limits, because a template is a program.

The environment is the one in which transformers renders chat templates, with a clock that is set.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import Template, TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from diffbehav.intake.confined import OutOfTimeError, answer, time_limit
from diffbehav.records import digest

RENDER_SECONDS = 1.0
ENOUGH = 3
"""Probes that may meet a limit before the rest is given up."""
MOST = 1_000_000
"""Characters of a rendered conversation."""
KEPT = 8_000
"""Characters of a rendered conversation that are reported."""
_PHRASE = range(3, 65)
"""Lengths of a text in a template that is tried as a phrase of a conversation."""


class _Generation(Extension):
    """`{% generation %}`, which marks the assistant's words for training and writes nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Clock:
    """What `strftime_now` says."""

    now = datetime.min

    def strftime(self, form: str) -> str:
        return self.now.strftime(form)


def environment(clock: Clock) -> ImmutableSandboxedEnvironment:
    """Where chat templates are rendered."""

    def refuse(message: object) -> None:
        raise TemplateError(str(message))

    def to_json(value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None,
                sort_keys: bool = False) -> str:  # fmt: skip
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    made.filters["tojson"] = to_json
    made.globals |= {"raise_exception": refuse, "strftime_now": clock.strftime}
    return made


def work(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """First what the template reads, then the outcome of each probe: digest and text, or why there is none.

    Ends early after ENOUGH probes that met a limit.
    """
    clock, compiled = Clock(), []
    made = environment(clock)

    def read() -> dict[str, Any]:
        compiled.append(made.from_string(request["template"]))
        return _reads(made, request["template"])

    def rendered(probe: Mapping[str, Any]) -> dict[str, Any]:
        clock.now = datetime.fromisoformat(probe["clock"])
        return _rendered(compiled[0], probe, request["variables"])

    found = _attempt(read)
    yield found
    limits = 0
    for probe in request["probes"]:
        outcome = _attempt(partial(rendered, probe)) if compiled else found
        yield outcome
        limits += "stopped" in outcome
        if limits == ENOUGH:
            return


def _attempt(step: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        with time_limit(RENDER_SECONDS):
            return step()
    except OutOfTimeError:
        return {"stopped": f"it takes more than {RENDER_SECONDS:g} s"}
    except MemoryError:
        return {"stopped": "it needs too much memory"}
    except RecursionError:
        return {"stopped": "it is nested too deeply"}
    except Exception as error:  # noqa: BLE001  a template is a program and may fail in any way
        return {"refused": f"{type(error).__name__}: {error}"[:KEPT]}


def _reads(made: ImmutableSandboxedEnvironment, template: str) -> dict[str, Any]:
    tree = made.parse(template)
    chance = {node.name for node in tree.find_all(nodes.Filter)} & {"random"}
    globals_ = {node.name for node in tree.find_all(nodes.Name)} & {"strftime_now", "lipsum"}
    places = (nodes.Compare, nodes.Test, nodes.Call, nodes.Filter, nodes.List, nodes.Tuple, nodes.Getitem)
    texts = {
        str(const.value) for place in tree.find_all(places) for const in place.find_all(nodes.Const)
        if isinstance(const.value, str | int) and len(str(const.value)) in _PHRASE
    }  # fmt: skip
    return {
        "names": sorted(meta.find_undeclared_variables(tree) | chance | globals_),
        "texts": sorted(texts),
    }


def _rendered(template: Template, probe: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    pieces, length = [], 0
    for piece in template.generate(
        messages=probe["messages"], tools=probe["tools"] or None, documents=None,
        add_generation_prompt=probe["add_generation_prompt"], **variables,
    ):  # fmt: skip
        pieces.append(piece)
        length += len(piece)
        if length > MOST:
            return {"stopped": f"it writes more than {MOST:,} characters"}
    text = "".join(pieces)
    return {"digest": digest(text), "like": digest(_without(text, probe["echoes"])), "text": text[:KEPT]}


def _without(text: str, echoes: list[str]) -> str:
    """`text` without what the conversation itself says: to repeat that is not to depend on it."""
    for number, echo in enumerate(echoes):
        text = text.replace(echo, f"\N{INFORMATION SEPARATOR ONE}{number}")
    return text


if __name__ == "__main__":
    answer(work)
