"""Whether a candidate can be compared with the trusted model token by token."""

from collections.abc import Mapping
from itertools import zip_longest

from diffbehav.errors import InputError, IntegrityError
from diffbehav.intake.manifest import Adapter, Model
from diffbehav.intake.tokenizer_file import TokenizerFile, read_tokenizer

_PREFIX = "base_model.model."
_SHOWN = 3


def check_same_tokenizer(candidate: Model, trusted: Model, *, allow_template: bool) -> None:
    """IntegrityError unless both sides give the same text the same tokens and the same chat the same text.

    With `allow_template` a candidate with another chat template passes; both then use the trusted one.
    """
    if candidate.tokenizer_digest != trusted.tokenizer_digest:
        difference = _difference(read_tokenizer(candidate.path), read_tokenizer(trusted.path))
        raise IntegrityError(
            f"{candidate.path} and {trusted.path} have different tokenizers: {difference}. Scores of one "
            "answer under both need the same tokens; compare models of one tokenizer."
        )
    if candidate.template_digest != trusted.template_digest and not allow_template:
        raise IntegrityError(
            f"{candidate.path} and {trusted.path} have different chat templates: "
            f"{_first_template(candidate, trusted)}. Only if this is allowed is the "
            "trusted template used for both, and what the candidate's own template does is then not tested."
        )


def check_adapter_fits(adapter: Adapter, base: Model) -> None:
    """InputError unless every matrix of the adapter belongs to a weight of `base` of its size."""
    for name, shape in adapter.tensors.items():
        module, _, kind = name.removeprefix(_PREFIX).partition(".lora_")
        weight = base.tensors.get(f"{module}.weight")
        if not kind or weight is None:
            raise InputError(f"{adapter.path}: {name!r} has no counterpart in {base.path}. Give the right base.")
        axis = 1 if kind.startswith("A") else 0
        if len(shape) != 2 or shape[axis] != weight[axis]:
            raise InputError(
                f"{adapter.path}: {name!r} has shape {shape}, which does not fit the {weight} of "
                f"{base.path}. Give the base it was trained on: {adapter.base!r}."
            )


def _difference(candidate: TokenizerFile, trusted: TokenizerFile) -> str:
    if len(candidate.vocabulary) != len(trusted.vocabulary):
        sizes = f"vocabularies of {len(candidate.vocabulary)} and {len(trusted.vocabulary)} tokens"
        return f"{sizes}; first differing tokens (candidate, trusted): {_first_tokens(candidate, trusted)}"
    if candidate.vocabulary != trusted.vocabulary:
        return f"first differing tokens (candidate, trusted): {_first_tokens(candidate, trusted)}"
    if candidate.special != trusted.special:
        changed = sorted(candidate.special.items() ^ trusted.special.items())
        return f"special tokens differ in {', '.join(f'{token!r}' for token, _ in changed[:_SHOWN])}"
    return "same vocabulary, but another normaliser, splitting or merge rule in tokenizer.json"


def _first_tokens(candidate: TokenizerFile, trusted: TokenizerFile) -> str:
    ours, theirs = _by_id(candidate.vocabulary), _by_id(trusted.vocabulary)
    ids = sorted(index for index in ours.keys() | theirs.keys() if ours.get(index) != theirs.get(index))
    return ", ".join(f"id {index}: {ours.get(index)!r}, {theirs.get(index)!r}" for index in ids[:_SHOWN])


def _by_id(vocabulary: Mapping[str, int]) -> Mapping[int, str]:
    return {index: token for token, index in vocabulary.items()}


def _first_template(candidate: Model, trusted: Model) -> str:
    if candidate.chat_template != trusted.chat_template:
        return _first_line(candidate.chat_template, trusted.chat_template)
    ours, theirs = candidate.named_templates, trusted.named_templates
    name = min(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if name not in ours or name not in theirs:
        return f"only {'the candidate' if name in ours else 'the trusted model'} has a template {name!r}"
    return f"in {name!r} {_first_line(ours[name], theirs[name])}"


def _first_line(candidate: str, trusted: str) -> str:
    lines = enumerate(zip_longest(candidate.splitlines(), trusted.splitlines()), start=1)
    for number, (ours, theirs) in lines:
        if ours != theirs:
            return f"line {number} is {ours!r}, trusted {theirs!r}"
    return "they differ in line ends"
