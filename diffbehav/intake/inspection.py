"""What is in a model folder, and what differs from the trusted one, before either is run."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from diffbehav.errors import InputError
from diffbehav.intake.adapter_difference import adapter_differences
from diffbehav.intake.folder_files import File, Refusal, read_files, refusals
from diffbehav.intake.json_file import read_json
from diffbehav.intake.manifest import is_adapter
from diffbehav.intake.safetensors_header import Tensor, read_header
from diffbehav.intake.template_behaviour import Behaviour, Difference, Template, behaviours, difference, text_diff
from diffbehav.intake.tensor_values import weight_tensors
from diffbehav.intake.text_difference import Setting, TokenizerDifference, setting_differences, tokenizer_difference
from diffbehav.intake.tokenizer_file import read_chat_templates
from diffbehav.intake.weight_difference import LayerDifference, TensorDifference, layers, weight_differences
from diffbehav.records import digest

OnStage = Callable[[str], None]


class Folder(NamedTuple):
    """One side as files."""

    path: Path
    kind: str
    """`model` or `adapter`."""
    files: list[File]
    digest: str
    """Of name and sha256 of every file."""
    tensors: int
    parameters: int
    dtypes: Mapping[str, int]
    """Type -> tensors of it."""
    refused: list[Refusal]


class Templates(NamedTuple):
    """One chat template by its name, over the probes; `trusted` and `difference` are None without a counterpart."""

    name: str
    probes: int
    candidate: Behaviour | None
    trusted: Behaviour | None
    difference: Difference | None
    """None where the texts and the special tokens are the same, or a side lacks the template."""
    diff: str
    """Unified diff of the two texts; empty where they are the same."""


class Inspection(NamedTuple):
    """A candidate, and its differences from the trusted model where one was named."""

    candidate: Folder
    trusted: Folder | None
    settings: list[Setting]
    tokenizer: TokenizerDifference | None
    tokenizer_reason: str | None
    """Why the tokenizers were not compared; None where they were."""
    templates: list[Templates]
    tensors: list[TensorDifference]
    layers: list[LayerDifference]


def inspect_model(
    candidate: Path, trusted: Path | None, *, allow: Collection[str] = (), on_stage: OnStage = lambda _: None
) -> Inspection:
    """Reads both folders without loading or running anything; `trusted` is the base where the candidate is an adapter.

    InputError where a folder or a file in it cannot be read.
    """
    for folder in filter(None, (candidate, trusted)):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder. Models are local folders.")
    if trusted is not None and is_adapter(trusted):
        raise InputError(f"{trusted}: an adapter, not a model: name the base model.")
    on_stage("reading every file")
    ours = _folder(candidate, allow)
    theirs = None if trusted is None else _folder(trusted, allow=())
    on_stage("rendering the chat templates")
    templates = _templates(candidate, trusted)
    on_stage("reading the weights")
    tensors = _tensor_differences(candidate, trusted)
    compared, reason = None, "no trusted model was named"
    if trusted is not None:
        compared, reason = _tokenizers(candidate, trusted)
    return Inspection(
        candidate=ours,
        trusted=theirs,
        settings=[] if trusted is None else _settings(candidate, trusted),
        tokenizer=compared,
        tokenizer_reason=None if compared else reason,
        templates=templates,
        tensors=tensors,
        layers=layers(tensors),
    )


def _folder(folder: Path, allow: Collection[str]) -> Folder:
    files = read_files(folder)
    tensors = _tensors(folder)
    return Folder(
        path=folder.resolve(),
        kind="adapter" if is_adapter(folder) else "model",
        files=files,
        digest=digest({each.name: each.sha256 for each in files}),
        tensors=len(tensors),
        parameters=sum(each.elements for each in tensors.values()),
        dtypes=Counter(each.dtype for each in tensors.values()),
        refused=refusals(folder, allow=allow),
    )


def _tensors(folder: Path) -> Mapping[str, Tensor]:
    if not is_adapter(folder):
        return weight_tensors(folder)
    weights = folder / "adapter_model.safetensors"
    return read_header(weights) if weights.is_file() else {}


def _tensor_differences(candidate: Path, trusted: Path | None) -> list[TensorDifference]:
    base = None if trusted is None else weight_tensors(trusted)
    if not is_adapter(candidate):
        return [] if base is None else list(weight_differences(weight_tensors(candidate), base))
    found = adapter_differences(candidate, base) if _tensors(candidate) else []
    for each in found:
        if base is not None and (each.name not in base or base[each.name].shape != each.shape):
            shape = base[each.name].shape if each.name in base else "nothing"
            raise InputError(
                f"{candidate}: adds {each.shape} to {each.name!r}, where {trusted} has {shape}. Name the base it was "
                "trained on."
            )
    return found


def _settings(candidate: Path, trusted: Path) -> list[Setting]:
    found = setting_differences(candidate, trusted)
    # An adapter has no configuration of its own: what it lacks is its base's.
    return [each for each in found if (candidate / each.file).is_file()] if is_adapter(candidate) else found


def _tokenizers(candidate: Path, trusted: Path) -> tuple[TokenizerDifference | None, str]:
    lacking = [folder for folder in (candidate, trusted) if not (folder / "tokenizer.json").is_file()]
    if lacking:
        return None, f"{lacking[0]} has no tokenizer.json"
    return tokenizer_difference(candidate, trusted), ""


def _templates(candidate: Path, trusted: Path | None) -> list[Templates]:
    ours = read_chat_templates(candidate)
    theirs = {} if trusted is None else read_chat_templates(trusted)
    if is_adapter(candidate) and not ours:
        return []
    named = sorted(ours.keys() | theirs.keys())
    return [_template(name, _side(candidate, ours, name), _side(trusted, theirs, name)) for name in named]


def _side(folder: Path | None, templates: Mapping[str, str], name: str) -> Template | None:
    return None if folder is None or name not in templates else Template(templates[name], _special_tokens(folder))


def _template(name: str, candidate: Template | None, trusted: Template | None) -> Templates:
    present = [each for each in (candidate, trusted) if each is not None]
    same = candidate == trusted
    asked, found = behaviours(present[:1] if same else present)
    ours = found[0] if candidate is not None else None
    theirs = None if trusted is None else found[-1]
    both = ours is not None and theirs is not None and not same
    return Templates(
        name=name,
        probes=len(asked),
        candidate=ours,
        trusted=theirs,
        difference=difference(asked, ours, theirs) if both and ours and theirs else None,
        diff=text_diff(candidate.text, trusted.text) if candidate and trusted else "",
    )


def _special_tokens(folder: Path) -> dict[str, str]:
    """The tokens that a template may name, such as bos_token; transformers hands them over beside the conversation."""
    found = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        config = read_json(folder / name) if (folder / name).is_file() else {}
        for key, value in config.items():
            content = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(content, str):
                found[key] = content
    return found
