"""Jinja templates in a sandbox: compiled once, and nothing in them is random or undefined."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, Template, TemplateError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from diffbehav.suite.strict_yaml import Key

Values = Mapping[str, str | Sequence[str]]
"""Variable -> level, or the levels that are present of a pooled factor."""


class RenderError(ValueError):
    """A template cannot be filled in; the text says why."""


class Unknown(NamedTuple):
    """A variable, or a part of one, that a template names."""

    name: str
    line: int
    """Line of the template, counted from 1."""


def _environment() -> ImmutableSandboxedEnvironment:
    """Every line break outside a tag is sent as it stands in the file."""
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals.clear()
    del environment.filters["random"]
    return environment


_ENVIRONMENT = _environment()


def variables(template: str) -> frozenset[str]:
    """Every variable the template takes from outside; TemplateSyntaxError where it is no template."""
    return frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(template)))


def unknown_variables(template: str, *, known: Collection[str]) -> Iterator[Unknown]:
    """What the template takes from outside but is not among `known`, once each."""
    missing = variables(template) - frozenset(known)
    for node in _ENVIRONMENT.parse(template).find_all(nodes.Name):
        if node.name in missing and node.ctx == "load":
            missing -= {node.name}
            yield Unknown(node.name, node.lineno)


def attributes(template: str, name: str) -> Iterator[Unknown]:
    """Every `x` the template takes from `name.x`, and '' for each use of `name` as a whole."""
    tree = _ENVIRONMENT.parse(template)
    taken = [each for each in tree.find_all(nodes.Getattr) if isinstance(each.node, nodes.Name)]
    inner = [each.node for each in taken]
    for each in taken:
        if isinstance(each.node, nodes.Name) and each.node.name == name:
            yield Unknown(each.attr, each.lineno)
    for whole in tree.find_all(nodes.Name):
        if whole.name == name and not any(whole is each for each in inner):
            yield Unknown("", whole.lineno)


def texts_in(value: object, *, path: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], str]]:
    """Every text inside a JSON value that lies at `path`, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts_in(item, path=(*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from texts_in(item, path=(*path, position))


def is_variable(name: str) -> bool:
    """Whether a template can refer to `name`: not a keyword, not a constant."""
    try:
        return variables("{{ " + name + " }}") == {name}
    except TemplateError:
        return False


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template filled in."""
    try:
        return _compiled(template).render(values)
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise RenderError(f"{type(error).__name__}: {error}") from error


@lru_cache(maxsize=10_000)
def _compiled(template: str) -> Template:
    return _ENVIRONMENT.from_string(template)
