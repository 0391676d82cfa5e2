"""What a LoRA adapter adds to each weight: the norm and the rank of scale * B A, without forming the product."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffbehav.errors import InputError
from diffbehav.intake.json_file import read_json
from diffbehav.intake.safetensors_header import Tensor, read_header
from diffbehav.intake.tensor_values import PIECE, REAL, pieces
from diffbehav.intake.weight_difference import NOT_FINITE, UNCHANGED, TensorDifference

_MATRIX = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight\Z")
_DENSE = "the product is added at run time and touches every element"


def adapter_differences(folder: Path, base: Mapping[str, Tensor] | None) -> list[TensorDifference]:
    """What the adapter adds to each weight it targets; relative to the weights of `base` where that is given.

    InputError where a tensor of the adapter is no LoRA matrix, has no counterpart or does not fit.
    """
    config = read_json(folder / "adapter_config.json")
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_header(folder / "adapter_model.safetensors").items():
        match = _MATRIX.match(name)
        if match is None or len(tensor.shape) != 2 or tensor.dtype not in REAL:
            raise InputError(f"{folder}: {name!r} ({tensor.dtype}, shape {tensor.shape}) is no matrix of a plain LoRA.")
        pairs.setdefault(match[1], {})[match[2]] = tensor
    return [_added(folder, config, module, pair, base) for module, pair in sorted(pairs.items())]


def _added(
    folder: Path, config: Mapping[str, Any], module: str, pair: Mapping[str, Tensor], base: Mapping[str, Tensor] | None
) -> TensorDifference:
    if set(pair) != {"A", "B"} or pair["A"].shape[0] != pair["B"].shape[1]:
        raise InputError(f"{folder}: lora_A and lora_B of {module!r} do not belong together.")
    name, shape = f"{module}.weight", (pair["B"].shape[0], pair["A"].shape[1])
    singular_R = _scale(config, module, pair["A"].shape[0], folder) * _singular_values(pair["A"], pair["B"])
    reasons = {"changed": _DENSE}
    norm, rank = float(np.linalg.norm(singular_R)), None
    if not math.isfinite(norm):
        why = dict.fromkeys(("norm", "trusted_norm", "relative", "stable_rank", "changed"), NOT_FINITE)
        return TensorDifference(name, shape, (pair["A"].dtype, None), None, None, None, None, None, why)
    if norm:
        rank = float((norm / singular_R.max()) ** 2)
    else:
        reasons["stable_rank"] = UNCHANGED
    trusted = None if base is None else base.get(name)
    trusted_norm = None if trusted is None else _norm(trusted)
    if trusted_norm is None:
        reasons |= dict.fromkeys(("trusted_norm", "relative"), "no trusted model was named")
    elif not 0 < trusted_norm < math.inf:
        reasons |= {"relative": "the trusted tensor is zero or has no norm"}
    relative = norm / trusted_norm if trusted_norm and math.isfinite(trusted_norm) else None
    dtypes = (pair["A"].dtype, None if trusted is None else trusted.dtype)
    return TensorDifference(name, shape, dtypes, norm, trusted_norm, relative, rank, None, reasons)


def _singular_values(a: Tensor, b: Tensor) -> np.ndarray:
    """Of B A: those of the small product of the two triangular factors."""
    a_RI, b_OR = (_matrix(each) for each in (a, b))
    if not (np.isfinite(a_RI).all() and np.isfinite(b_OR).all()):
        return np.full(1, np.nan)
    triangles = _triangle(b_OR) @ _triangle(a_RI.T).T
    return np.asarray(np.linalg.svd(triangles, compute_uv=False))


def _triangle(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.qr(matrix)[1])


def _matrix(tensor: Tensor) -> np.ndarray:
    values = [piece.values.astype(np.float64) for piece in pieces(tensor, PIECE)]
    whole: np.ndarray = np.concatenate([*values, np.empty(0)])
    return whole.reshape(tensor.shape)


def _norm(tensor: Tensor) -> float:
    if tensor.dtype not in REAL:
        return math.nan
    with np.errstate(all="ignore"):
        return math.sqrt(sum(float(np.square(p.values, dtype=np.float64).sum()) for p in pieces(tensor, PIECE)))


def _scale(config: Mapping[str, Any], module: str, rank: int, folder: Path) -> float:
    """alpha / r, or alpha / sqrt(r) of a rank-stabilised LoRA; a pattern that ends the module's name sets its alpha."""
    if config.get("use_dora"):
        raise InputError(f"{folder}: use_dora scales whole weights, which B A alone does not say. Merge the adapter.")
    alpha = config.get("lora_alpha")
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if module == pattern or module.endswith(f".{pattern}"):
            alpha = value
    if not isinstance(alpha, int | float) or isinstance(alpha, bool):
        raise InputError(f"{folder / 'adapter_config.json'}: lora_alpha is {alpha!r}; a number is expected.")
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
