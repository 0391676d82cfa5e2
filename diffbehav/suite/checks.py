"""What one field alone cannot tell: names that must agree across a suite file."""

from collections.abc import Collection, Iterator, Sequence

from diffbehav.suite.fields import iso_date
from diffbehav.suite.levels import derive, derived_levels, levels
from diffbehav.suite.model import (
    DateRange,
    EngineFactor,
    LevelList,
    MessageTemplate,
    PooledList,
    SuiteFile,
    Task,
)
from diffbehav.suite.pooled import axes
from diffbehav.suite.problems import Problem, meant
from diffbehav.suite.strict_yaml import Key
from diffbehav.suite.templates import RenderError, is_variable, render, texts_in, variables
from diffbehav.suite.world_checks import first_world, template_problems, world_problems

RESERVED = (
    "condition_id", "grid_index", "task", "messages", "tools", "world", "prompt_tokens", "score", "flagged",
    "calls_differ", "text_differs", "replicate_calls_differ", "replicate_text_differs", "said", "did",
    "call_distance", "code_finding_excess", "novel_call_rate", "trusted_hash",
)  # fmt: skip
MAX_CELLS = 2**63 - 1

Path = tuple[Key, ...]


def problems(suite: SuiteFile) -> list[Problem]:
    """Everything that is wrong across fields, in the order of the file."""
    found = [
        *_tools(suite),
        *_tasks(suite),
        *_factors(suite),
        *_engine_factors(suite),
        *_derived(suite),
        *_templates(suite),
        *world_problems(suite),
    ]
    return found or [*_first_cells(suite), *_exclusions(suite), *_size(suite)]


def _tools(suite: SuiteFile) -> Iterator[Problem]:
    names = [tool.function.name for tool in suite.tools]
    for position, name in enumerate(names):
        if name in names[:position]:
            path = ("tools", position, "function", "name")
            yield Problem(
                "suite.duplicate", path, f"tool {name!r} is declared twice", "rename or remove one of the two"
            )


def _tasks(suite: SuiteFile) -> Iterator[Problem]:
    ids = [task.id for task in suite.tasks]
    known = [tool.function.name for tool in suite.tools]
    for position, task in enumerate(suite.tasks):
        path: Path = ("tasks", position)
        if task.id in ids[:position]:
            yield Problem(
                "suite.duplicate", (*path, "id"), f"task {task.id!r} is declared twice", "rename one of them"
            )
        if task.messages is None and suite.messages is None:
            reason = f"task {task.id!r} has no messages and the suite declares none either"
            yield Problem("suite.missing_key", path, reason, "add `messages` to the task or to the suite")
        yield from _offered(task.tools, known=known, path=(*path, "tools"))
        for name in task.vars:
            yield from _name(name, path=(*path, "vars", name), taken=[*suite.factors, *suite.derived])


def _offered(names: Sequence[str], *, known: Sequence[str], path: Path) -> Iterator[Problem]:
    for position, name in enumerate(names):
        if name not in known:
            reason = f"unknown tool {name!r}{meant(name, known)}"
            yield Problem("suite.unknown_tool", (*path, position), reason, "declare it under `tools`")
        if name in names[:position]:
            yield Problem(
                "suite.duplicate", (*path, position), f"tool {name!r} is offered twice", "remove one"
            )


def _name(name: str, *, path: Path, taken: Collection[str]) -> Iterator[Problem]:
    if name in RESERVED:
        reason = f"{name!r} is reserved for a column of the results"
        yield Problem(
            "suite.reserved_name", path, reason, f"choose a name other than {', '.join(RESERVED)}", True
        )
    elif not (name.isidentifier() and name.isascii() and name == name.lower() and is_variable(name)):
        fix = "use lower-case letters, digits and _, starting with a letter, and no Jinja keyword"
        yield Problem("suite.bad_name", path, f"{name!r} cannot be used in a template", fix, True)
    elif name in taken:
        yield Problem(
            "suite.duplicate", path, f"{name!r} is the name of a factor already", "rename one of them", True
        )


def _factors(suite: SuiteFile) -> Iterator[Problem]:
    known = [tool.function.name for tool in suite.tools]
    for name, factor in suite.factors.items():
        path: Path = ("factors", name)
        yield from _name(name, path=path, taken=())
        if isinstance(factor, DateRange):
            if not levels(factor):
                reason = f"no level: {factor.start} is after {factor.to}"
                yield Problem("suite.no_level", (*path, "to"), reason, "swap `from` and `to`")
            continue
        if isinstance(factor, EngineFactor):
            yield from _settings(factor, path=path)
            continue
        yield from _level_list(factor, path=path)
        for level, offered in factor.offers.items():
            if level not in factor.levels:
                reason = f"unknown level {level!r} of {name}{meant(level, factor.levels)}"
                yield Problem(
                    "suite.unknown_level", (*path, "offers", level), reason, "use a declared level", True
                )
            yield from _offered(offered, known=known, path=(*path, "offers", level))


def _engine_factors(suite: SuiteFile) -> Iterator[Problem]:
    names = [name for name, factor in suite.factors.items() if isinstance(factor, EngineFactor)]
    for name in names[1:]:
        reason = f"{names[0]!r} sets the engine already, and a condition is served by one"
        yield Problem("suite.second_engine", ("factors", name), reason, f"write its levels into {names[0]}", True)


def _settings(factor: EngineFactor, *, path: Path) -> Iterator[Problem]:
    settings = list(factor.levels.values())
    for position, (level, setting) in enumerate(factor.levels.items()):
        if setting in settings[:position]:
            same = list(factor.levels)[settings.index(setting)]
            reason = f"level {level!r} is the setting of {same!r} again"
            yield Problem("suite.duplicate", (*path, "levels", level), reason, "remove one of the two", True)


def _level_list(factor: LevelList, *, path: Path) -> Iterator[Problem]:
    seen = set[str]()
    for position, level in enumerate(factor.levels):
        if level in seen:
            reason = f"level {level!r} is declared twice"
            yield Problem("suite.duplicate", (*path, "levels", position), reason, "remove one of the two")
        elif isinstance(factor, PooledList) and level.lower() in {each.lower() for each in seen}:
            reason = f"level {level!r} differs from another one in upper and lower case alone"
            fix = "rename one of them: each level of a pooled factor is a column of the results"
            yield Problem("suite.duplicate", (*path, "levels", position), reason, fix)
        seen.add(level)


def _derived(suite: SuiteFile) -> Iterator[Problem]:
    for name, derived in suite.derived.items():
        path: Path = ("derived", name)
        yield from _name(name, path=path, taken=list(suite.factors))
        source = suite.factors.get(derived.source)
        if source is None:
            reason = f"unknown factor {derived.source!r}{meant(derived.source, list(suite.factors))}"
            yield Problem("suite.unknown_factor", (*path, "from"), reason, "name a declared factor")
        elif isinstance(source, PooledList):
            reason = f"{derived.source!r} is pooled: it has several levels at once"
            yield Problem("suite.pooled_source", (*path, "from"), reason, "name a factor that is not pooled")
        elif isinstance(source, EngineFactor):
            reason = f"{derived.source!r} sets the engine: its levels are no dates"
            yield Problem("suite.no_date", (*path, "from"), reason, "name a factor over dates")
        elif isinstance(source, LevelList):
            yield from _dates(source, name=derived.source)


def _dates(factor: LevelList, *, name: str) -> Iterator[Problem]:
    for position, level in enumerate(factor.levels):
        try:
            iso_date(level)
        except ValueError:
            reason = f"level {level!r} is no date, but a derived factor takes its parts"
            yield Problem(
                "suite.no_date", ("factors", name, "levels", position), reason, "write it YYYY-MM-DD"
            )


def message_paths(suite: SuiteFile, task: Task) -> list[tuple[Path, MessageTemplate]]:
    """The messages of `task`, each with its place in the file."""
    if task.messages is None:
        return [(("messages", position), message) for position, message in enumerate(suite.messages or ())]
    place: Path = ("tasks", suite.tasks.index(task), "messages")
    return [((*place, position), message) for position, message in enumerate(task.messages)]


def texts(message: MessageTemplate) -> Iterator[tuple[Path, str]]:
    """Every template inside a message, with its place below the message."""
    yield ("content",), message.content
    for position, call in enumerate(message.tool_calls):
        yield from texts_in(call.arguments, path=("tool_calls", position, "arguments"))


def variables_of(message: MessageTemplate) -> frozenset[str]:
    """Every variable that a message takes."""
    return frozenset().union(*(variables(text) for _, text in texts(message)))


def _templates(suite: SuiteFile) -> Iterator[Problem]:
    reported = set[tuple[Path, str]]()
    for task in suite.tasks:
        known = [*suite.sent_factors, *suite.derived, *task.vars]
        for place, message in message_paths(suite, task):
            for below, text in texts(message):
                at, where = (*place, *below), f" in task {task.id!r}"
                for problem in template_problems(text, path=at, known=known, where=where):
                    if (problem.path, problem.word) not in reported:
                        reported.add((problem.path, problem.word))
                        yield problem


def _first_cells(suite: SuiteFile) -> Iterator[Problem]:
    """Templates that cannot be filled in with the first level of everything, and all levels of pooled factors."""
    first = {name: levels(factor)[0] for name, factor in suite.factors.items()}
    first |= {name: derive(first[each.source], part=each.part) for name, each in suite.derived.items()}
    pooled = {name: each.levels for name, each in suite.factors.items() if isinstance(each, PooledList)}
    for task in suite.tasks[:1]:
        yield from first_world(suite, {**task.vars, **first, **pooled})
    for task in suite.tasks:
        for place, message in message_paths(suite, task):
            for below, text in texts(message):
                try:
                    render(text, {**task.vars, **first, **pooled})
                except RenderError as error:
                    reason = f"task {task.id!r} cannot be filled in: {error}"
                    yield Problem("suite.template", (*place, *below), reason, "correct the template")


def _exclusions(suite: SuiteFile) -> Iterator[Problem]:
    known: dict[str, Sequence[str]] = {"task": [task.id for task in suite.tasks], **axes(suite.factors)}
    known |= {name: derived_levels(known[each.source], part=each.part) for name, each in suite.derived.items()}
    for position, rule in enumerate(suite.exclude):
        for name, excluded in rule.items():
            path: Path = ("exclude", position, name)
            if name not in known:
                reason = f"unknown factor {name!r}{meant(name, list(known))}"
                yield Problem(
                    "suite.unknown_factor", path, reason, "name a factor, a derived factor or `task`", True
                )
                continue
            for place, level in enumerate(excluded):
                if level not in known[name]:
                    reason = f"unknown level {level!r} of {name}{meant(level, known[name])}"
                    yield Problem(
                        "suite.unknown_level", (*path, place), reason, "use a level as it is declared"
                    )


def _size(suite: SuiteFile) -> Iterator[Problem]:
    cells = len(suite.tasks)
    for on_axis in axes(suite.factors).values():
        cells *= len(on_axis)
    if cells > MAX_CELLS:
        reason = f"the grid has {cells:.3g} cells, more than {MAX_CELLS:.3g}"
        fix = "remove levels or factors; every pooled level doubles the grid"
        yield Problem("suite.too_large", ("factors",), reason, fix, True)
