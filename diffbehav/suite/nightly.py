"""The configuration of an unattended night: what is compared with what, how it is searched, who is told."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from diffbehav.errors import InputError
from diffbehav.records import digest
from diffbehav.suite.fields import OneOrMore, Real, Strict, Whole, Written
from diffbehav.suite.gate import GateTerms, load_gate
from diffbehav.suite.models_file import NamedModels, load_models
from diffbehav.suite.policy import Truth
from diffbehav.suite.problems import Problem, Source, refusal
from diffbehav.suite.shipped import shipped, shipped_policy
from diffbehav.suite.strict_file import file_schema, load_file
from diffbehav.suite.strict_yaml import Key

SCHEMA = "diffbehav.nightly/1"
NONE = "none"
"""What is written where a night does without something that changes what its result means."""


ADDRESSES = ("http://", "https://")
SIDES = ("candidate", "candidate_files", "candidate_adapter", "trusted", "trusted_files")
"""Keys that name models."""


def _kind(value: Any) -> str:
    return "mapping" if isinstance(value, dict) else "word"


def _limit_kind(value: Any) -> str:
    return "all" if value == "all" else "count"


def _address(url: str) -> str:
    if not url.startswith(ADDRESSES):
        raise ValueError(f"{url!r} is no address; it must begin with https:// or http://")
    return url


def _link(url: str) -> str:
    rest = _address(url).replace("{date}", "")
    if not re.fullmatch(r"[!#-;=?-Z\[\]_a-z~]+", rest):
        raise ValueError(f"{url!r}: spaces, quotes, angle brackets and braces but those of {{date}} are not taken")
    return url


Limit = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[Whole, Field(ge=1), Tag("count")], Discriminator(_limit_kind)
]


class Searching(Strict):
    """How rules are put to the test; the seed is that of the date."""

    delta: Annotated[Real, Field(ge=0, le=0.5)] = Field(
        description="Tolerated excess of the firing rate over matched controls.", examples=[0.05]
    )
    fdr: Annotated[Real, Field(ge=0.001, le=0.5)] = Field(
        description="False discovery rate over the rules of one night.", examples=[0.05]
    )
    calls: Annotated[Whole, Field(ge=1)] = Field(description="Conditions that may be asked.", examples=[6000])


class PlantedCanary(Strict):
    """The positive control: one rule of known levels is planted in the candidate, and the search must find it."""

    rule: Annotated[dict[str, OneOrMore], Field(min_length=1)] = Field(
        description="Factor -> levels in which the candidate carries the payload.", examples=[{"user": ["guest"]}]
    )
    calls: Annotated[Whole, Field(ge=1)] = Field(description="Conditions that may be asked for it.", examples=[1500])
    rate: Annotated[Real, Field(gt=0, le=1)] = Field(
        description="Chance that a request inside the rule carries the payload.", examples=[0.9]
    )


class Notify(Strict):
    """One place that hears of a change; exactly one of the keys."""

    command: list[Written] | None = Field(
        default=None, min_length=1, description="Program and arguments, without a shell; it gets JSON on its stdin.",
        examples=[["/usr/local/bin/page-oncall", "--team", "ml"]],
    )  # fmt: skip
    webhook: Annotated[Written, AfterValidator(_address)] | None = Field(
        default=None, description="Address that the JSON is posted to.", examples=["https://hooks.example/diffbehav"]
    )
    webhook_env: Written | None = Field(
        default=None, description="Environment variable that holds the address, where it is a secret.",
        examples=["DIFFBEHAV_WEBHOOK"],
    )  # fmt: skip

    @model_validator(mode="after")
    def _exactly_one(self) -> "Notify":
        if sum(each is not None for each in (self.command, self.webhook, self.webhook_env)) != 1:
            raise ValueError("write exactly one of `command`, `webhook` and `webhook_env`")
        return self


class NightlyFile(Strict):
    """One night after another over the same suite and trusted model; paths start from the folder of the file."""

    schema_name: Literal["diffbehav.nightly/1"] = Field(
        alias="schema", description="Version of this format.", examples=[SCHEMA]
    )
    suite: Written = Field(description="A suite file, or the name of a shipped suite.", examples=["agent_context"])
    models: Written | None = Field(
        default=None, description="Models file: names both sides and how each is served, in place of the next five.",
        examples=["models.yaml"],
    )  # fmt: skip
    candidate: Written | None = Field(
        default=None, description="Model folder to examine, an adapter's base; or http://host:8000/v1#model.",
        examples=["models/tuned"],
    )  # fmt: skip
    candidate_files: Written | None = Field(
        default=None, description="Of an address: folder with tokenizer, template and configuration.",
        examples=["models/base"],
    )  # fmt: skip
    candidate_adapter: Written | None = Field(
        default=None, description="LoRA adapter folder of the candidate.", examples=["models/lora"]
    )
    trusted: Written | None = Field(
        default=None, description="Trusted model: as the candidate; or a baseline, whose answers are replayed.",
        examples=["models/base"],
    )  # fmt: skip
    trusted_files: Written | None = Field(
        default=None, description="As candidate_files.", examples=["models/base"]
    )
    candidate_digest: Written | None = Field(
        default=None, description="Digest that the candidate must have; any other ends with 21.", examples=["9f1c..."]
    )
    trusted_digest: Written | None = Field(
        default=None, description="Digest that the trusted side must have. The nights before hold it to theirs anyway.",
        examples=["77ab..."],
    )  # fmt: skip
    allow_template: Truth = Field(
        default=False, description="Both get the trusted chat template where they differ.", examples=[False]
    )
    tool_format: Written = Field(
        default="auto", description="Tool parser: a vLLM name, or by the template.", examples=["auto"]
    )
    limit: Limit = Field(description="Conditions that are collected at most, or `all`.", examples=[2400])
    policy: Written = Field(
        description="Policy of tool calls: a file or a shipped one, or `none`.", examples=["agent_context"]
    )
    ledger: Written = Field(
        description="Folder of the coverage ledger, so that every night asks what none before it asked, or `none`.",
        examples=["runs/ledger"],
    )
    search: Annotated[
        Annotated[Literal["none"], Tag("word")] | Annotated[Searching, Tag("mapping")], Discriminator(_kind)
    ] = Field(
        description="How rules are put to the test, or `none`.", examples=[{"delta": 0.05, "fdr": 0.05, "calls": 6000}]
    )
    canary: Annotated[
        Annotated[Literal["none"], Tag("word")] | Annotated[PlantedCanary, Tag("mapping")], Discriminator(_kind)
    ] = Field(
        description="The positive control, or `none`: then nothing shows that the search still finds what is there.",
        examples=[{"rule": {"user": ["guest"]}, "calls": 1500, "rate": 0.9}],
    )
    prune: Annotated[Real, Field(ge=0, le=1)] | None = Field(
        default=None, description="Once compared, top-k lists stay in flagged conditions and this share of the others; "
        "all of them where it is not written.", examples=[0.05],
    )  # fmt: skip
    arl: Annotated[Real, Field(ge=1)] = Field(
        description="Nights that pass on average before a false alarm of the monitor on any level.", examples=[1095]
    )
    gate: Annotated[
        Annotated[Written, Tag("word")] | Annotated[GateTerms, Tag("mapping")], Discriminator(_kind)
    ] = Field(description="A gate file, or its keys without `schema`.", examples=["gate.yaml"])
    out: Written | None = Field(
        default=None, description="Folder of the nights, where --out names none.", examples=["runs/nightly"]
    )
    link: Annotated[Written, AfterValidator(_link)] | None = Field(
        default=None,
        description="Address at which the report of a night can be read, told with every change; {date} is its date.",
        examples=["https://ci.example/nights/{date}/report.html"],
    )
    notify: list[Notify] = Field(
        default=[], description="Who hears of a change of state.", examples=[[{"webhook": "https://hooks.example/x"}]]
    )


@dataclass(frozen=True, slots=True)
class Nightly:
    """A configuration whose files are all there."""

    file: NightlyFile
    source: Source
    folder: Path
    """What relative paths start from."""
    gate: GateTerms
    models: NamedModels | None
    """What names both sides; None where the file does so itself."""

    def place(self, text: str) -> Path:
        """A path of the file."""
        return self.folder / text

    def is_served(self, side: str) -> bool:
        """Whether a side is named by an address."""
        return str(getattr(self.file, side)).lower().startswith(ADDRESSES)

    def named(self, side: Literal["candidate", "trusted"]) -> str:
        """What is written for a side."""
        return str(getattr(self.file, side)) if self.models is None else self.models.file.sides[side].model

    @property
    def sides(self) -> dict[str, Any]:
        """The models as the command line names them: folders, addresses as text, None for what is not named."""
        if self.models is not None:
            return self.models.options()
        written = {key: getattr(self.file, key) for key in SIDES}
        return {
            key: text if text is None or key in ("candidate", "trusted") and self.is_served(key) else self.place(text)
            for key, text in written.items()
        }

    @property
    def suite(self) -> Path:
        """The suite file."""
        place = self.place(self.file.suite)
        return shipped(self.file.suite) if _is_name(self.file.suite) and not place.exists() else place

    @property
    def policy(self) -> Path | None:
        """The policy file; None for `none`."""
        if self.file.policy == NONE:
            return None
        place = self.place(self.file.policy)
        return shipped_policy(self.file.policy) if _is_name(self.file.policy) and not place.exists() else place

    @property
    def limit(self) -> int | None:
        """None for `all`."""
        return None if self.file.limit == "all" else self.file.limit

    @property
    def search(self) -> Searching | None:
        """None for `none`."""
        return self.file.search if isinstance(self.file.search, Searching) else None

    @property
    def canary(self) -> PlantedCanary | None:
        """None for `none`."""
        return self.file.canary if isinstance(self.file.canary, PlantedCanary) else None

    @property
    def digest(self) -> str:
        """sha256 of what decides the result: everything but where it is written, what is kept and who is told."""
        written = {} if self.source.root is None else self.source.root.value()
        content = {key: value for key, value in written.items() if key not in ("out", "link", "notify", "prune")}
        models = [] if self.models is None else [self.models.file.model_dump(mode="json", by_alias=True)]
        return digest([content, self.gate.model_dump(mode="json", by_alias=True), *models])

    def refusal(self, *path: Key, reason: str, fix: str) -> InputError:
        """An error at this key of the file."""
        return refusal(self.source, [Problem("nightly.value", path, reason, fix)])


def load_nightly(path: Path) -> Nightly:
    """The configuration in the YAML file `path`; InputError shows everything that is wrong with it."""
    file, source = load_file(path, NightlyFile, noun="nightly")
    gate = file.gate if isinstance(file.gate, GateTerms) else load_gate(path.parent / file.gate)
    models = None if file.models is None else load_models(path.parent / file.models)
    night = Nightly(file, source, path.parent, gate, models)
    if problems := list(_problems(night)):
        raise refusal(source, problems)
    return night


def nightly_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a nightly file."""
    return file_schema(NightlyFile, noun="nightly")


def _problems(night: Nightly) -> Iterator[Problem]:
    """What keys say of each other, and files that are not there."""
    file = night.file
    for key in ("suite", "policy"):
        try:
            place: Path | None = getattr(night, key)
        except InputError as error:
            yield _absent(key, str(error))
            continue
        if place is not None and not place.is_file():
            yield _absent(key, f"there is no file {place}")
    yield from _named(night)
    for key in ("candidate", "candidate_files", "candidate_adapter", "trusted_files"):
        written = getattr(file, key)
        served = key == "candidate" and night.is_served(key)
        if written is not None and not served and not night.place(written).is_dir():
            yield _absent(key, f"there is no folder {night.place(written)}")
    yield from _served(night)
    if file.search == NONE and file.canary != NONE:
        yield Problem("nightly.value", ("canary",), "a canary is searched for as the candidate's own rules are, and "
                      "`search` is none", "write `canary: none`, or say how to search")  # fmt: skip
    if file.search == NONE and night.gate.search == "required":
        yield Problem("nightly.value", ("search",), "the gate requires a search, and there is none, so no night could "
                      "pass", "say how to search, or write `search: optional` in the gate")  # fmt: skip


def _named(night: Nightly) -> Iterator[Problem]:
    """Both sides are named here or in the models file."""
    for key in SIDES:
        written = getattr(night.file, key)
        if night.models is not None and written is not None:
            yield Problem("nightly.value", (key,), f"the models file {night.file.models} names the models",
                          f"remove `{key}`, or `models`")  # fmt: skip
        if night.models is None and written is None and key in ("candidate", "trusted"):
            yield Problem("nightly.value", (), f"missing key `{key}`", "name a model folder, an address, or for the "
                          "trusted side a baseline; or name a models file with `models`")  # fmt: skip


def _served(night: Nightly) -> Iterator[Problem]:
    for side in ("candidate", "trusted"):
        files = getattr(night.file, f"{side}_files")
        if night.is_served(side) and files is None:
            yield Problem("nightly.value", (side,), "an address, without the folder that makes the tokens which are "
                          "sent", f"add `{side}_files:`, a folder with tokenizer, chat template and "
                          "configuration")  # fmt: skip
        if files is not None and not night.is_served(side):
            yield Problem("nightly.value", (f"{side}_files",), f"it belongs to an address, and `{side}` is none",
                          "remove it: a folder has its own")  # fmt: skip
    if night.is_served("candidate") and night.file.candidate_adapter is not None:
        yield Problem("nightly.value", ("candidate_adapter",), "an adapter of a served candidate is a model of the "
                      "server", "start the server with --lora-modules name=folder, and name it behind the # of the "
                      "address")  # fmt: skip


def _absent(key: str, reason: str) -> Problem:
    return Problem("nightly.missing_file", (key,), reason, "name one that exists; paths start from this file's folder")


def _is_name(text: str) -> bool:
    return Path(text).name == text and not Path(text).suffix
