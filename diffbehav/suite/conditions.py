"""Cells of the grid, rendered to exactly what is sent."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from diffbehav.errors import InputError
from diffbehav.records import Condition, condition_id
from diffbehav.suite.grid import Cell, Grid
from diffbehav.suite.model import LevelList, MessageTemplate
from diffbehav.suite.pooled import present
from diffbehav.suite.seen import Seen
from diffbehav.suite.simulated import filled_json, simulated
from diffbehav.suite.suite import Suite
from diffbehav.suite.templates import RenderError, Values, render


def conditions(suite: Suite, indices: Iterable[int]) -> Iterator[Condition]:
    """The conditions at `indices`, in that order; InputError where two cells send the same thing."""
    grid = Grid(suite)
    tasks = {task.id: task for task in suite.declared.tasks}
    offers = {
        name: factor.offers
        for name, factor in suite.declared.factors.items()
        if isinstance(factor, LevelList) and factor.offers
    }
    definitions = {tool.function.name: tool.model_dump() for tool in suite.declared.tools}
    seen = Seen()
    for index in map(int, indices):
        cell = grid.cell(index)
        task = tasks[cell.task]
        pooled = {name: present(pool, cell.levels) for name, pool in suite.pools.items()}
        held = {name: pooled[name] if name in pooled else [cell.levels[name]] for name in offers}
        offered = {
            *task.tools,
            *(tool for name in offers for level in held[name] for tool in offers[name].get(level, ())),
        }
        tools = [tool for name, tool in definitions.items() if name in offered]
        templates = task.messages if task.messages is not None else suite.declared.messages
        assert templates is not None, "checked at load"
        messages, world = _filled_in(suite, cell, templates, {**task.vars, **cell.levels, **pooled})
        engine = None if suite.engine_factor is None else cell.levels[suite.engine_factor]
        name = condition_id(messages, tools, world, None if engine is None else suite.engine_settings[engine])
        other = seen.add(int(name, 16), index)
        if other != index:
            raise _same(suite, grid, first=other, second=index)
        yield Condition(
            id=name, index=index, task=cell.task, levels=cell.levels, messages=messages, tools=tools, world=world,
            engine=engine,
        )


def _filled_in(
    suite: Suite, cell: Cell, templates: Sequence[MessageTemplate], values: Values
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Messages and world."""
    try:
        return list(_filled(templates, values)), simulated(suite.declared, values)
    except RenderError as error:
        raise InputError(
            f"error[suite.template]: {suite.name}  task {cell.task!r} at {_levels(cell)}: {error}\n"
            "  fix: correct the template"
        ) from error


def _filled(templates: Sequence[MessageTemplate], values: Values) -> Iterator[dict[str, Any]]:
    """Messages in the format of the OpenAI API, but arguments stay an object, as chat templates want them."""
    made, waiting = 0, list[tuple[str, str]]()
    for template in templates:
        message: dict[str, Any] = {"role": template.role, "content": render(template.content, values)}
        if template.role == "tool":
            call, tool = waiting.pop(0)
            message |= {"tool_call_id": call, "name": tool}
        else:
            waiting = []
        if template.tool_calls:
            message["tool_calls"] = []
        for past in template.tool_calls:
            made += 1
            waiting.append((f"call_{made}", past.name))
            function = {"name": past.name, "arguments": filled_json(past.arguments, values)}
            message["tool_calls"].append({"id": f"call_{made}", "type": "function", "function": function})
        yield message


def _same(suite: Suite, grid: Grid, *, first: int, second: int) -> InputError:
    cells = [grid.cell(index) for index in (first, second)]
    tasks = [f"task {cell.task!r} at {_levels(cell)}" for cell in cells]
    parts = [name for name in grid.names[1:] if cells[0].levels[name] != cells[1].levels[name]]
    remedy = "make them differ in what is sent, or exclude one of them"
    unused = [name for name in parts if name in suite.unused_factors]
    if unused:
        remedy = f"factor {', '.join(unused)} appears in no template and offers no tool; use it or remove it"
    elif parts:
        remedy = f"{', '.join(parts)} changes nothing here; use it in a template, or exclude one of the cells"
    return InputError(
        f"error[suite.same_condition]: {suite.name}  two cells send the same messages and tools\n"
        f"  cell {first}: {tasks[0]}\n  cell {second}: {tasks[1]}\n  fix: {remedy}"
    )


def _levels(cell: Cell) -> str:
    return ", ".join(f"{name}={level!r}" for name, level in cell.levels.items())
