"""Reads a model or LoRA adapter folder into a manifest: digests, context length, what ends a turn."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffbehav.errors import InputError
from diffbehav.intake.json_file import read_json
from diffbehav.intake.safetensors_header import tensor_shapes
from diffbehav.intake.tokenizer_file import (
    DEFAULT,
    NAMED_TEMPLATES,
    read_chat_template,
    read_chat_templates,
    read_tokenizer,
)
from diffbehav.intake.weight_files import refuse_consolidated, weight_files
from diffbehav.records import digest

LEADS_AWAY = {
    "auto_map": "asks to run Python code that came with the model, which is refused. Convert the model to an "
    "architecture that vLLM has built in and remove auto_map",
    "speculators_config": "makes vLLM serve another model than the one in the folder. Name the folder of that model",
    "configuration_files": "names another configuration to be read in place of config.json. Remove it",
    "fast_tokenizer_files": "names another tokenizer to be read in place of tokenizer.json. Remove it",
}
"""Keys of a configuration that make an engine run or read something else -> why that is refused, and the remedy."""
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_DECIDES_TOKENS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "params.json",
    "*quant*_config.json",
    "sparse_attention_config.json",
    "*.jinja",
    f"{NAMED_TEMPLATES}/*.jinja",
)
_DECIDES_BEHAVIOUR = ("*.safetensors", "*.safetensors.index.json", "adapter_config.json", *_DECIDES_TOKENS)
TEXT = 64_000
"""Characters that are kept of a template or configuration."""
_UNSERVABLE_TARGETS = ("lm_head", "embed_tokens")


@dataclass(frozen=True, slots=True)
class Model:
    """A folder with a whole model that can be served without running its code."""

    path: Path
    files: Mapping[str, str]
    """File name -> sha256, for weights, configuration, tokenizer and template."""
    digest: str
    """Digest of `files`, and of the address where the model is served elsewhere: equal when all of them are."""
    architecture: str
    context_length: int
    """Tokens of prompt and answer together that the model was built for."""
    tokenizer_digest: str
    chat_template: str
    named_templates: Mapping[str, str]
    """Templates beside the default one: a server takes `tool_use` where tools are offered."""
    template_digest: str
    """Of all templates."""
    eos_ids: Sequence[int]
    """Tokens that end a turn."""
    tensors: Mapping[str, tuple[int, ...]]
    """Weight name -> shape."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A folder with a LoRA adapter, served together with the base model it belongs to."""

    path: Path
    files: Mapping[str, str]
    digest: str
    base: str
    """The base model as the adapter names it: a repository or a folder."""
    rank: int
    tensors: Mapping[str, tuple[int, ...]]


def deciding_texts(model: Model) -> dict[str, str]:
    """The chat template and the small configurations of a model, each cut at TEXT characters."""
    found = {"chat_template": model.chat_template}
    for name in ("generation_config", "tokenizer_config"):
        path = model.path / f"{name}.json"
        if path.is_file():
            found[name] = path.read_text(encoding="utf-8", errors="replace")
    return {name: text[:TEXT] for name, text in found.items()}


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds a LoRA adapter instead of a whole model."""
    return (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file()


def read_model(folder: Path) -> Model:
    """Manifest of a model folder; what cannot be served safely is an InputError that says what to do."""
    _check_folder(folder)
    if not (folder / "config.json").is_file():
        kind = (
            "an adapter, not a model: name its base model and give it as adapter"
            if is_adapter(folder)
            else ("not a model folder: there is no config.json")
        )
        raise InputError(f"{folder}: {kind}.")
    _refuse_detours(folder)
    refuse_consolidated(folder)
    tensors = _all_tensors(folder)
    files = deciding_files(folder)
    return _model(folder, files=files, identity=files, tensors=tensors)


def read_declared(folder: Path, *, address: str, context_length: int) -> Model:
    """The model that a server at `address` is said to serve: tokenizer, template and configuration in `folder`.

    Weights in the folder are passed over, because they need not be those that are served. `context_length`: tokens
    that the server takes.
    """
    _check_folder(folder)
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: there is no config.json; name a folder with config, tokenizer and chat template.")
    _refuse_detours(folder)
    files = deciding_files(folder, _DECIDES_TOKENS)
    declared = _model(folder, files=files, identity={"address": address, "files": files}, tensors={})
    return replace(declared, context_length=min(context_length, declared.context_length))


def _model(
    folder: Path, *, files: Mapping[str, str], identity: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]]
) -> Model:
    config = read_json(folder / "config.json")
    template = read_chat_template(folder)
    named = {name: text for name, text in read_chat_templates(folder).items() if name != DEFAULT}
    return Model(
        path=folder.resolve(),
        files=files,
        digest=digest(identity),
        architecture=_architecture(config, folder=folder),
        context_length=_context_length(config, folder=folder),
        tokenizer_digest=read_tokenizer(folder).digest,
        chat_template=template,
        named_templates=named,
        template_digest=digest([template, named] if named else template),
        eos_ids=_eos_ids(config, folder=folder),
        tensors=tensors,
    )


def read_adapter(folder: Path) -> Adapter:
    """Manifest of a LoRA folder; adapters that change the vocabulary's rows are refused."""
    _check_folder(folder)
    config_path, weights = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not config_path.is_file():
        raise InputError(f"{folder}: not an adapter folder: there is no adapter_config.json.")
    config = read_json(config_path)
    if config.get("peft_type") != "LORA":
        raise InputError(f"{config_path}: peft_type is {config.get('peft_type')!r}; only 'LORA' is served.")
    if not weights.is_file():
        raise InputError(f"{folder}: no adapter_model.safetensors. Save it with safe_serialization=True.")
    tensors = tensor_shapes(weights)
    _refuse_vocabulary_targets(folder, config=config, tensors=tensors)
    rank = config.get("r")
    if not isinstance(rank, int) or rank < 1:
        raise InputError(f"{config_path}: r is {rank!r}; the rank of the adapter is expected.")
    files = deciding_files(folder)
    base = str(config.get("base_model_name_or_path") or "")
    return Adapter(path=folder.resolve(), files=files, digest=digest(files), base=base, rank=rank, tensors=tensors)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder. Models are local folders; fetch one with "
            "`hf download <repository> --local-dir <folder>`."
        )


def _refuse_detours(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        config = read_json(path) if path.is_file() else {}
        for key, why in LEADS_AWAY.items():
            if key in config:
                raise InputError(f"{path}: {key} {why}.")


def _all_tensors(folder: Path) -> Mapping[str, tuple[int, ...]]:
    weights = weight_files(folder)
    if not weights:
        pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
        if pickled:
            raise InputError(
                f"{folder}: only pickled weights ({', '.join(pickled)}); loading a pickle runs code. Convert "
                "them with model.save_pretrained(folder, safe_serialization=True) in a sandbox."
            )
        raise InputError(f"{folder}: no weights: there is no *.safetensors file.")
    return {name: shape for path in weights for name, shape in tensor_shapes(path).items()}


def _refuse_vocabulary_targets(
    folder: Path, *, config: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]]
) -> None:
    named = [*(config.get("modules_to_save") or []), *tensors]
    targets = config.get("target_modules") or []
    named += [targets] if isinstance(targets, str) else list(targets)
    for target in _UNSERVABLE_TARGETS:
        if any(target in name for name in named):
            raise InputError(
                f"{folder}: the adapter changes {target!r}, whose change an engine that serves base and "
                "adapter together leaves out of the scores. Merge it into the base (peft merge_and_unload) "
                "and give the merged model as candidate."
            )


def deciding_files(folder: Path, patterns: Sequence[str] = _DECIDES_BEHAVIOUR) -> Mapping[str, str]:
    """File name -> sha256, of what in a model or adapter folder decides its behaviour."""
    paths = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(paths)}


def sha256_of(path: Path) -> str:
    """sha256 (64 hex digits) of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _architecture(config: Mapping[str, Any], *, folder: Path) -> str:
    names = config.get("architectures")
    if not isinstance(names, list) or not names:
        raise InputError(f"{folder / 'config.json'}: architectures is {names!r}; a list with one name is expected.")
    return str(names[0])


def _context_length(config: Mapping[str, Any], *, folder: Path) -> int:
    text = config.get("text_config") or {}
    length = config.get("max_position_embeddings", text.get("max_position_embeddings"))
    if not isinstance(length, int) or length < 1:
        raise InputError(f"{folder / 'config.json'}: max_position_embeddings is {length!r}; a length is expected.")
    return length


def _eos_ids(config: Mapping[str, Any], *, folder: Path) -> Sequence[int]:
    path = folder / "generation_config.json"
    declared = (read_json(path) if path.is_file() else {}).get("eos_token_id", config.get("eos_token_id"))
    if declared is None:
        raise InputError(
            f"{folder}: neither generation_config.json nor config.json has eos_token_id: no answer would end."
        )
    return tuple(declared) if isinstance(declared, list) else (int(declared),)
