"""A file that names the two models of a run, and how each is served: suites stay free of both."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from diffbehav.errors import InputError
from diffbehav.suite.fields import Real, Strict, Whole, Written, core
from diffbehav.suite.model import Quantization
from diffbehav.suite.policy import Truth
from diffbehav.suite.problems import Problem, Source, refusal
from diffbehav.suite.strict_file import file_schema, load_file
from diffbehav.suite.strict_yaml import Key

SCHEMA = "diffbehav.models/1"
_WORLD = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
_ADDRESSES = ("http://", "https://")
Count = Annotated[Whole, Field(ge=1)]


def _distinct(devices: list[int]) -> list[int]:
    if len(set(devices)) < len(devices):
        raise ValueError("a device is named twice")
    return devices


class EngineTerms(Strict):
    """What vLLM is told of one side beyond what the machine decides; all but `devices` as vLLM names it."""

    tensor_parallel_size: Count | None = Field(
        default=None, description="GPUs that each layer is spread over. Moves log-probabilities by rounding.",
        examples=[2],
    )  # fmt: skip
    pipeline_parallel_size: Count | None = Field(
        default=None, description="GPUs that the layers are spread over one after the other.", examples=[2]
    )
    data_parallel_size: Count | None = Field(
        default=None, description="Copies of the model, between which vLLM shares the requests out.", examples=[4]
    )
    devices: Annotated[list[Annotated[Whole, Field(ge=0)]], AfterValidator(_distinct)] | None = Field(
        default=None, min_length=1, description="GPUs, counted among those that are visible: one for each part.",
        examples=[[0, 1]],
    )  # fmt: skip
    distributed_executor_backend: Literal["mp", "ray", "uni"] | None = Field(
        default=None, description="What runs the parts of one engine.", examples=["mp"]
    )
    gpu_memory_utilization: Annotated[Real, Field(gt=0, le=1)] | None = Field(
        default=None, description="Share of each GPU's whole memory that the engine takes.", examples=[0.45]
    )
    kv_cache_memory_bytes: Count | None = Field(
        default=None, description="Bytes of key-value cache, in place of what vLLM finds left.", examples=[8589934592]
    )
    max_num_seqs: Count | None = Field(default=None, description="Requests of one batch.", examples=[512])
    max_num_batched_tokens: Count | None = Field(default=None, description="Tokens of one batch.", examples=[16384])
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        default=None, description="What weights are kept and computed in.", examples=["bfloat16"]
    )
    quantization: Annotated[Quantization | None, BeforeValidator(core)] = Field(
        default=None, description="How weights are quantised as they are loaded.", examples=["fp8"]
    )
    enforce_eager: Truth | None = Field(
        default=None, description="`true`: kernel by kernel; `false`: compiled, on a GPU with CUDA graphs too.",
        examples=[True],
    )  # fmt: skip

    @property
    def arguments(self) -> dict[str, Any]:
        """What was written, under the names that vLLM has for it."""
        written = self.model_dump(exclude_none=True)
        return {"device_ids" if name == "devices" else name: value for name, value in written.items()}


class ModelTerms(Strict):
    """One side."""

    model: Written = Field(
        description="Model folder, or http://host:8000/v1#model; the trusted one may be a baseline or a run.",
        examples=["models/tuned"],
    )
    files: Written | None = Field(
        default=None, description="Of an address: folder with tokenizer, template and configuration.",
        examples=["models/base"],
    )  # fmt: skip
    engine: EngineTerms = Field(
        default=EngineTerms(), description="Arguments that vLLM is started with.", examples=[{"devices": [0]}]
    )

    @property
    def is_served(self) -> bool:
        """Whether it is served elsewhere."""
        return self.model.lower().startswith(_ADDRESSES)


class CandidateTerms(ModelTerms):
    """The model that is examined."""

    adapter: Written | None = Field(
        default=None, description="LoRA adapter folder; `model` is its base then.", examples=["models/lora"]
    )


class ModelsFile(Strict):
    """Which models a run compares and where they are served; paths start from the folder of the file."""

    schema_name: Literal["diffbehav.models/1"] = Field(
        alias="schema", description="Version of this format.", examples=[SCHEMA]
    )
    candidate: CandidateTerms = Field(
        description="The model that is examined.", examples=[{"model": "models/tuned"}]
    )
    trusted: ModelTerms = Field(description="The model that is trusted.", examples=[{"model": "models/base"}])
    placement: Literal["together", "turns", "ray"] = Field(
        default="together",
        description="`together`: both are open at once, on one GPU with a part of its memory each; `turns`: each has "
        "the GPU while the other sleeps; `ray`: on a Ray cluster.",
        examples=["together"],
    )
    address: Written | None = Field(
        default=None, description="Of the Ray cluster that this machine belongs to: host:port of its head, or `auto`. "
        "`local`, or none: a cluster of this machine alone, for the time of the run.", examples=["head:6379"],
    )  # fmt: skip
    workers: Count | None = Field(
        default=None, description="Engines a side on the Ray cluster. None: as many as its GPUs allow, on CPUs one "
        "a machine.", examples=[4],
    )  # fmt: skip

    @property
    def sides(self) -> dict[str, ModelTerms]:
        """Name -> what is said of it, the candidate first."""
        return {"candidate": self.candidate, "trusted": self.trusted}


@dataclass(frozen=True, slots=True)
class NamedModels:
    """A models file whose folders are there."""

    file: ModelsFile
    source: Source
    folder: Path
    """What relative paths start from."""

    def place(self, text: str) -> Path:
        """A path of the file."""
        return self.folder / text

    def options(self) -> dict[str, Any]:
        """The models as the command line names them: folders, addresses as text, None for what is not named."""
        adapter = self.file.candidate.adapter
        found: dict[str, Any] = {"candidate_adapter": None if adapter is None else self.place(adapter)}
        for side, terms in self.file.sides.items():
            found[side] = terms.model if terms.is_served else self.place(terms.model)
            found[f"{side}_files"] = None if terms.files is None else self.place(terms.files)
        return found

    def refusal(self, *path: Key, reason: str, fix: str) -> InputError:
        """An error at this key of the file."""
        return refusal(self.source, [Problem("models.value", path, reason, fix)])


def load_models(path: Path) -> NamedModels:
    """The models in the YAML file `path`; InputError shows everything that is wrong with it."""
    file, source = load_file(path, ModelsFile, noun="models")
    models = NamedModels(file, source, path.parent)
    if problems := list(_problems(models)):
        raise refusal(source, problems)
    return models


def check_arguments(stored: Mapping[str, Any]) -> None:
    """ValueError for arguments of vLLM that no models file could have set, which may run anything."""
    EngineTerms.model_validate({"devices" if name == "device_ids" else name: value for name, value in stored.items()})


def models_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a models file."""
    return file_schema(ModelsFile, noun="models")


def _problems(models: NamedModels) -> Iterator[Problem]:
    """What keys say of each other, and folders that are not there."""
    file = models.file
    for side, terms in file.sides.items():
        yield from _of_server(side, terms) if terms.is_served else _of_folder(side, terms)
        yield from _of_devices(side, terms.engine.arguments)
        if terms.is_served and file.placement != "together":
            reason = f"the {side} model is served elsewhere, so `{file.placement}` does not place it"
            yield _wrong(("placement",), reason, "leave `placement` out, or name folders")
    yield from _absent(models, "candidate", "adapter", file.candidate.adapter)
    yield from _absent(models, "candidate", "model", None if file.candidate.is_served else file.candidate.model)
    for side, terms in file.sides.items():
        yield from _absent(models, side, "files", terms.files)
    for name in ("address", "workers"):
        if getattr(file, name) is not None and file.placement != "ray":
            yield _wrong((name,), f"`{name}` belongs to `placement: ray`", "remove it, or write `placement: ray`")


def _absent(models: NamedModels, side: str, key: str, written: str | None) -> Iterator[Problem]:
    if written is not None and not models.place(written).is_dir():
        fix = "name one that exists; paths start from this file's folder"
        yield Problem("models.missing_folder", (side, key), f"there is no folder {models.place(written)}", fix)


def _of_server(side: str, terms: ModelTerms) -> Iterator[Problem]:
    if terms.files is None:
        yield _wrong(
            (side, "model"), "an address, without the folder that makes the tokens which are sent",
            "add `files:`, a folder with tokenizer, chat template and configuration",
        )  # fmt: skip
    if terms.engine.arguments:
        yield _wrong((side, "engine"), "a server was started with arguments of its own", "remove `engine`")
    if isinstance(terms, CandidateTerms) and terms.adapter is not None:
        yield _wrong(
            (side, "adapter"), "an adapter of a served candidate is a model of the server",
            "start the server with --lora-modules name=folder, and name it behind the # of the address",
        )  # fmt: skip


def _of_folder(side: str, terms: ModelTerms) -> Iterator[Problem]:
    if terms.files is not None:
        yield _wrong((side, "files"), "`files` belongs to an address; a folder has its own", "remove `files`")


def _of_devices(side: str, arguments: Mapping[str, Any]) -> Iterator[Problem]:
    if "device_ids" not in arguments:
        return
    devices, parts = len(arguments["device_ids"]), prod(arguments.get(name, 1) for name in _WORLD)
    if devices != parts:
        reason = f"{devices} for an engine of {parts} parts ({' x '.join(_WORLD)})"
        yield _wrong((side, "engine", "devices"), reason, "name a device for each part")
    if arguments.get("distributed_executor_backend") == "ray":
        yield _wrong((side, "engine", "devices"), "Ray chooses the devices itself", "remove `devices`")


def _wrong(path: tuple[Key, ...], reason: str, fix: str) -> Problem:
    return Problem("models.value", path, reason, fix)
