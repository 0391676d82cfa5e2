"""What must agree between a simulated world and the rest of a suite file."""

from collections.abc import Iterator, Mapping, Sequence

from jinja2 import TemplateSyntaxError

from diffbehav.suite.model import SuiteFile
from diffbehav.suite.problems import Problem, meant
from diffbehav.suite.simulated import AT_CALL, simulated, tool_texts
from diffbehav.suite.strict_yaml import Key
from diffbehav.suite.templates import RenderError, Values, attributes, texts_in, unknown_variables, variables
from diffbehav.suite.world import FOUND, WorldTable

Path = tuple[Key, ...]


def world_problems(suite: SuiteFile) -> Iterator[Problem]:
    """Names that nothing declares, tools that nothing answers, a world that is never asked."""
    if suite.world is None:
        if suite.max_turns > 1:
            reason = f"max_turns is {suite.max_turns}, but the suite declares no world that could answer calls"
            yield Problem("suite.no_world", ("max_turns",), reason, "declare `world`, or remove `max_turns`")
        return
    if suite.max_turns == 1:
        reason = "a world is declared, but a conversation ends after the model's first turn"
        yield Problem("suite.unused_world", ("world",), reason, "set `max_turns` to 2 or more", at_key=True)
    yield from _tools(suite, suite.world)
    known = known_variables(suite)
    for name in AT_CALL:
        if name in known:
            reason = f"{name!r} is what templates of a world call the arguments and outcome of a call"
            yield Problem("suite.reserved_name", ("factors", name), reason, "rename the factor or variable", True)
    for path, text in _standing_texts(suite.world):
        yield from template_problems(text, path=path, known=known)
    yield from _tool_texts(suite, suite.world, known)


def first_world(suite: SuiteFile, values: Values) -> Iterator[Problem]:
    """A world that cannot be filled in with `values`."""
    try:
        simulated(suite, values)
    except RenderError as error:
        yield Problem("suite.template", ("world",), f"the world cannot be filled in: {error}", "correct it", True)


def known_variables(suite: SuiteFile) -> list[str]:
    """What templates of the world may name: factors, derived ones, and the vars that every task has."""
    shared = [name for name in suite.tasks[0].vars if all(name in task.vars for task in suite.tasks)]
    return [*suite.sent_factors, *suite.derived, *shared]


def world_variables(world: WorldTable) -> frozenset[str]:
    """Every variable that the world takes from a condition."""
    texts = [text for _, text in _standing_texts(world)]
    texts += [text for tool in tool_texts(world).values() for text in tool.values()]
    return frozenset[str]().union(*map(variables, texts)) - frozenset(AT_CALL)


def template_problems(text: str, *, path: Path, known: Sequence[str], where: str = "") -> Iterator[Problem]:
    """Variables that `text` takes beyond the `known` ones, or its error where it is no template."""
    try:
        for name, line in unknown_variables(text, known=known):
            reason = f"unknown variable `{name}`{where}{meant(name, known)}"
            fix = f"known here: {', '.join(known)}"
            yield Problem("suite.unknown_variable", path, reason, fix, line=line, word=name)
    except TemplateSyntaxError as error:
        reason = f"no valid template: {error.message}"
        yield Problem("suite.template_syntax", path, reason, "see the Jinja documentation", line=error.lineno)


def _tools(suite: SuiteFile, world: WorldTable) -> Iterator[Problem]:
    declared = [tool.function.name for tool in suite.tools]
    for name in world.tools:
        if name not in declared:
            reason = f"tool {name!r} has no schema{meant(name, declared)}"
            yield Problem("suite.unknown_tool", ("world", "tools", name), reason, "declare it under `tools`", True)
    for position, name in enumerate(declared):
        if name not in world.tools:
            reason = f"nothing answers calls of {name!r}"
            fix = "say under `world.tools` what it does; `effect: reply` changes nothing"
            yield Problem("suite.unanswered_tool", ("tools", position, "function", "name"), reason, fix)


def _standing_texts(world: WorldTable) -> Iterator[tuple[Path, str]]:
    for path, content in world.files.items():
        yield ("world", "files", path), path
        yield ("world", "files", path), content
    for name, rows in world.tables.items():
        for position, row in enumerate(rows):
            yield from texts_in(row, path=("world", "tables", name, position))


def _tool_texts(suite: SuiteFile, world: WorldTable, known: Sequence[str]) -> Iterator[Problem]:
    schemas = {tool.function.name: tool.function.parameters for tool in suite.tools}
    for name, texts in tool_texts(world).items():
        facts: Mapping[str, Sequence[str]] = {"call": list(schemas.get(name, {}).get("properties", {}))}
        for key, text in texts.items():
            given = {**facts, "found": FOUND[world.tools[name].effect]} if key == "result" else facts
            path: Path = ("world", "tools", name, key)
            before = list(template_problems(text, path=path, known=[*known, *given]))
            yield from before or _attributes(text, path=path, given=given)


def _attributes(text: str, *, path: Path, given: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    for name, known in given.items():
        for used, line in attributes(text, name):
            if used == "":
                reason, fix = f"`{name}` is used as a whole", f"name one part of it, `{name}.…`"
                yield Problem("suite.unknown_variable", path, reason, fix, line=line, word=name)
            elif used not in known:
                reason = f"unknown variable `{name}.{used}`{meant(used, known)}"
                fix = f"known here: {', '.join(f'{name}.{each}' for each in known) or 'nothing'}"
                yield Problem("suite.unknown_variable", path, reason, fix, line=line, word=used)
