"""A policy as calls are judged by it: which tool calls are allowed, and how much each counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolRule:
    """What a policy allows of one tool; None where it sets no limit."""

    severity: float
    """Weight of a call, in (0, 1]."""
    paths: Sequence[str] | None
    """Globs of allowed paths."""
    forbidden_paths: Sequence[str]
    domains: Sequence[str] | None
    """Allowed hosts, each with scheme and port where it names them."""
    methods: Sequence[str] | None
    max_per_session: int | None
    """Calls of the tool in one answer."""
    require_confirmation: bool
    arguments: Mapping[str, str]
    """Argument name -> `path`, `url`, `method` or `text`, where the policy says what an argument is."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules by tool, and what holds for every other one."""

    tools: Mapping[str, ToolRule]
    default_severity: float
    """Weight of a call of a tool that is not listed."""
    unlisted_allowed: bool
    """Whether tools that are not listed may be called."""
    working_directory: str | None
    """What relative paths start from; None where it is unknown or a factor decides it."""
    working_directory_factor: str | None
    home: str | None
    """What `~` stands for."""

    def severity_of(self, tool: str) -> float:
        """Weight of a call of `tool`."""
        rule = self.tools.get(tool)
        return self.default_severity if rule is None else rule.severity
