"""Weaknesses in a snippet of Python, found without running it: bandit, in this process."""

import ast
import io
import warnings
from functools import lru_cache
from importlib import metadata
from typing import NamedTuple

from bandit.core.config import BanditConfig
from bandit.core.metrics import Metrics
from bandit.core.node_visitor import BanditNodeVisitor
from bandit.core.test_set import BanditTestSet
from bandit.core.tester import BanditTester

ANALYSER = f"bandit {metadata.version('bandit')}"
MOST_CHARACTERS = 16_000
MOST_LINES = 1_000
MOST_DEPTH = 200
NOT_PYTHON = "the code does not parse as Python"
TOO_LONG = f"the code has more than {MOST_CHARACTERS:,} characters or {MOST_LINES:,} lines"
TOO_DEEP = f"the code is nested deeper than {MOST_DEPTH} levels"
CRASHED = "the analyser failed on the code"
_NAME = "./snippet.py"


class CodeFinding(NamedTuple):
    """One weakness."""

    test: str
    """The analyser's test, such as B608."""
    cwe: int | None
    """Number in the Common Weakness Enumeration; None where the test names none."""
    severity: str
    """LOW, MEDIUM, HIGH or UNDEFINED."""
    confidence: str
    line: int
    """From 1."""


class Analysed(NamedTuple):
    """What was found in one snippet."""

    findings: tuple[CodeFinding, ...]
    reason: str
    """Why it could not be analysed, '' where it was."""


@lru_cache(maxsize=2048)
def analyse(code: str) -> Analysed:
    """The findings of all tests of bandit but those of whole files. Comments that switch tests off are not obeyed."""
    if len(code) > MOST_CHARACTERS or code.count("\n") >= MOST_LINES:
        return Analysed((), TOO_LONG)
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return Analysed((), NOT_PYTHON)
    except (RecursionError, MemoryError):
        return Analysed((), TOO_DEEP)
    return Analysed((), TOO_DEEP) if _is_deep(tree) else _visited(tree, code)


class _Tester(BanditTester):  # type: ignore[misc]
    """A test that fails is no test without a finding."""

    @staticmethod
    def report_error(test: object, context: object, error: Exception) -> None:  # noqa: ARG004  bandit's signature
        raise error


@lru_cache(maxsize=1)
def _tests() -> BanditTestSet:
    return BanditTestSet(BanditConfig())


def _visited(tree: ast.Module, code: str) -> Analysed:
    metrics = Metrics()
    metrics.begin(_NAME)
    lines = io.BytesIO(code.encode("utf-8", "replace"))
    visitor = BanditNodeVisitor(_NAME, lines, None, _tests(), False, {}, metrics)
    visitor.tester = _Tester(visitor.testset, False, {}, metrics)
    try:
        visitor.generic_visit(tree)
    except Exception:  # noqa: BLE001  the code is hostile, and the analyser's tests are plugins that may raise anything
        return Analysed((), CRASHED)
    return Analysed(
        tuple(
            CodeFinding(each.test_id, each.cwe.id or None, each.severity, each.confidence, each.lineno)
            for each in visitor.tester.results
        ),
        "",
    )


def _is_deep(tree: ast.Module) -> bool:
    level: list[ast.AST] = [tree]
    for _ in range(MOST_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)
