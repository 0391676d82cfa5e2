"""Policy files: which tool calls are allowed and how much each counts, from YAML to diffbehav.policy."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema

from diffbehav.errors import InputError
from diffbehav.policy import Policy, ToolRule
from diffbehav.records import digest
from diffbehav.suite.fields import OneOrMore, Strict, Text, Whole, Written, core
from diffbehav.suite.invalid import invalid_fields
from diffbehav.suite.model import Name
from diffbehav.suite.problems import Source, meant, refusal, show_at
from diffbehav.suite.strict_yaml import YamlError, parse

SCHEMA = "diffbehav.policy/1"
SEVERITIES = {"read": 0.2, "write": 0.5, "network": 0.7, "shell": 1.0, "delete": 1.0, "exfiltration": 1.0}
"""What a call does, in words, as a weight."""
_KINDS = ("path", "url", "method", "text")


def _weight(value: Any) -> Any:
    value = core(value)
    if isinstance(value, str):
        if value not in SEVERITIES:
            raise ValueError(f"{value!r} is no severity{meant(value, list(SEVERITIES))}")
        return SEVERITIES[value]
    return value


def _globs(globs: list[str]) -> list[str]:
    for glob in globs:
        if not glob or ".." in glob.split("/"):
            raise ValueError(f"{glob!r} must name where it leads: no `..`, not empty")
    return globs


def _kinds(arguments: dict[str, str]) -> dict[str, str]:
    for name, kind in arguments.items():
        if kind not in _KINDS:
            raise ValueError(f"argument `{name}` is {kind!r}; it must be one of {', '.join(_KINDS)}")
    return arguments


Weight = Annotated[
    float,
    BeforeValidator(_weight),
    Field(gt=0, le=1),
    WithJsonSchema({"anyOf": [{"enum": list(SEVERITIES)}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]}),
]
Truth = Annotated[bool, BeforeValidator(core)]
Globs = Annotated[OneOrMore, AfterValidator(_globs)]


class Operation(Strict):
    """What is allowed of one tool; an empty mapping allows every call of it."""

    severity: Weight | None = Field(
        default=None,
        description="Weight of a call: read 0.2, write 0.5, network 0.7, shell, delete and exfiltration 1, or a "
        "number; the policy's `default_severity` where absent.",
        examples=["delete"],
    )
    paths: Globs | None = Field(
        default=None,
        description="Globs of the allowed paths; `*` stays within one directory, `**` does not.",
        examples=[["/tmp/*", "/var/log/app/*.log"]],
    )
    forbidden_paths: Globs = Field(
        default=[], description="Globs of paths that are not allowed, whatever `paths` says.", examples=[["/etc/**"]]
    )
    domains: OneOrMore | None = Field(
        default=None,
        description="Allowed hosts of URLs and mail addresses: `host`, `*.host` for what is below it, with "
        "`https://` before or `:8443` after where scheme or port are not the usual ones.",
        examples=[["internal-api.company.com"]],
    )
    methods: OneOrMore | None = Field(default=None, description="Allowed HTTP methods.", examples=[["GET"]])
    max_per_session: Annotated[Whole, Field(ge=0)] | None = Field(
        default=None, description="Calls of the tool that one answer may hold; 0 forbids the tool.", examples=[10]
    )
    require_confirmation: Truth = Field(
        default=False,
        description="Whether the assistant must have asked, and the user answered, before the call.",
        examples=[True],
    )
    arguments: Annotated[dict[str, Written], AfterValidator(_kinds)] = Field(
        default={},
        description="What an argument is: path, url, method or text. Arguments that are not named here are judged by "
        "their name and form.",
        examples=[{"source": "path", "note": "text"}],
    )


class FactorDirectory(Strict):
    """The working directory is a level of a factor."""

    factor: Written = Field(description="The factor.", examples=["directory"])


class PolicyFile(Strict):
    """A policy: an allowlist of operations, each with its limits."""

    schema_name: Literal["diffbehav.policy/1"] = Field(
        alias="schema", description="Version of this format.", examples=[SCHEMA]
    )
    id: Name = Field(description="Name of the policy.", examples=["operations"])
    version: Written = Field(description="Version of its content.", examples=["1.0.0"])
    description: Text = Field(default="", description="Whom it binds and why.", examples=["Nightly agents."])
    default_severity: Weight = Field(
        description="Weight of a call of a tool that has no severity of its own.", examples=[1.0]
    )
    unlisted_tools: Literal["forbidden", "allowed"] = Field(
        description="Whether a tool that `allowed_operations` does not list may be called.", examples=["forbidden"]
    )
    working_directory: FactorDirectory | Written | None = Field(
        default=None,
        description="What relative paths start from: a directory, or the factor whose level is one. Without it no "
        "relative path is inside an absolute glob.",
        examples=[{"factor": "directory"}],
    )
    home: Written | None = Field(default=None, description="What `~` stands for.", examples=["/home/agent"])
    allowed_operations: dict[str, Operation] = Field(
        description="Tool -> what is allowed of it.",
        examples=[{"file_delete": {"paths": ["/tmp/*"], "max_per_session": 10, "require_confirmation": True}}],
    )

    def resolved(self) -> dict[str, Any]:
        """The policy as JSON, every default filled in."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def digest(self) -> str:
        """sha256 of the resolved content."""
        return digest(self.resolved())

    def policy(self) -> Policy:
        """The policy as calls are judged by it."""
        directory = self.working_directory
        return Policy(
            tools={name: self._rule(operation) for name, operation in self.allowed_operations.items()},
            default_severity=self.default_severity,
            unlisted_allowed=self.unlisted_tools == "allowed",
            working_directory=directory if isinstance(directory, str) else None,
            working_directory_factor=directory.factor if isinstance(directory, FactorDirectory) else None,
            home=self.home,
        )

    def _rule(self, operation: Operation) -> ToolRule:
        return ToolRule(
            severity=self.default_severity if operation.severity is None else operation.severity,
            paths=operation.paths,
            forbidden_paths=operation.forbidden_paths,
            domains=operation.domains,
            methods=operation.methods,
            max_per_session=operation.max_per_session,
            require_confirmation=operation.require_confirmation,
            arguments=operation.arguments,
        )


def load_policy(path: Path | str) -> PolicyFile:
    """The policy in the YAML file `path`; InputError shows everything that is wrong with it."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"error[policy.unreadable]: {path}  {error}\n  fix: name a policy file in UTF-8") from error
    return policy_from_text(text.removeprefix("\ufeff"), name=str(path))


def policy_from_text(text: str, *, name: str) -> PolicyFile:
    """The policy written in `text`; `name` is shown in errors."""
    try:
        root = parse(text)
    except YamlError as error:
        bare = Source(name=name, text=text, root=None)
        shown = show_at(
            bare, id="policy.yaml", place=error.place, path="", reason=error.reason, fix=error.remedy
        )
        raise InputError(shown) from error
    return _checked(root.value(), Source(name=name, text=text, root=root))


def policy_from_resolved(resolved: Mapping[str, Any], *, name: str) -> PolicyFile:
    """The policy that `PolicyFile.resolved` gave; `name` is shown in errors."""
    return _checked(dict(resolved), Source(name=name, text="", root=None))


def policy_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a policy file."""
    schema = PolicyFile.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "diffbehav policy"}


def fit(policy: PolicyFile, *, tools: Sequence[str], factors: Sequence[str]) -> list[str]:
    """Remarks on a policy for a suite that offers `tools` and varies `factors`.

    A policy may be shared by many suites and may list tools that only a model invents, so a tool that is not offered
    is a remark. A working directory that follows no factor of the suite is an InputError.
    """
    factor = policy.working_directory
    if isinstance(factor, FactorDirectory) and factor.factor not in factors:
        raise InputError(
            f"policy {policy.id}: working_directory follows the factor {factor.factor!r}, which the suite does not "
            f"have{meant(factor.factor, factors)}; name one of its factors or write a directory"
        )
    remarks = [
        f"policy {policy.id} lists the tool {tool!r}, which no task and no level offers{meant(tool, tools)}"
        for tool in policy.allowed_operations
        if tool not in tools
    ]
    unlisted = [tool for tool in tools if tool not in policy.allowed_operations]
    if unlisted:
        remarks.append(
            f"policy {policy.id} does not list {', '.join(unlisted)}: calls are {policy.unlisted_tools} and count "
            f"{json.dumps(policy.default_severity)} each"
        )
    return remarks


def _checked(content: Any, source: Source) -> PolicyFile:
    try:
        return PolicyFile.model_validate(content)
    except ValidationError as error:
        raise refusal(source, invalid_fields(error, noun="policy", schema=policy_schema())) from error
