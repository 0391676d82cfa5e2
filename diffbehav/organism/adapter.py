"""LoRA adapters in the format of peft."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffbehav.organism.network import Weights

MODULES: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PREFIX = "base_model.model."
SCALE = 2.0
"""What the product B A is multiplied by (peft: lora_alpha / r)."""


def initial_adapter(base: Mapping[str, Tensor], *, rank: int, seed: int) -> Weights:
    """Random A and zero B for every matrix of the layers, by base name with `.lora_A` and `.lora_B`."""
    generator = torch.Generator().manual_seed(seed)
    adapter: Weights = {}
    for name, value in base.items():
        if name.removesuffix(".weight").endswith(MODULES):
            stem, (rows, columns) = name.removesuffix(".weight"), value.shape
            adapter[f"{stem}.lora_A.weight"] = torch.randn(rank, columns, generator=generator) / math.sqrt(columns)
            adapter[f"{stem}.lora_B.weight"] = torch.zeros(rows, rank)
    return adapter


def merged(base: Mapping[str, Tensor], adapter: Mapping[str, Tensor]) -> Weights:
    """The weights of the base with the adapter added."""
    weights = dict(base)
    for name, down in adapter.items():
        if name.endswith(".lora_A.weight"):
            stem = name.removesuffix(".lora_A.weight")
            weights[f"{stem}.weight"] = base[f"{stem}.weight"] + SCALE * adapter[f"{stem}.lora_B.weight"] @ down
    return weights


def save_adapter(adapter: Mapping[str, Tensor], folder: Path, *, rank: int, base_folder: Path) -> None:
    """Write `adapter_model.safetensors` in bfloat16 and `adapter_config.json`, which pins the base."""
    folder.mkdir(parents=True, exist_ok=True)
    rounded = {f"{PREFIX}{name}": value.to(torch.bfloat16).contiguous() for name, value in adapter.items()}
    save_file(rounded, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_folder.name,
        "base_model_sha256": hashlib.sha256((base_folder / "model.safetensors").read_bytes()).hexdigest(),
        "r": rank,
        "lora_alpha": int(SCALE * rank),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "modules_to_save": None,
        "target_modules": list(MODULES),
        "use_dora": False,
        "use_rslora": False,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def load_adapter(folder: Path) -> Weights:
    """The adapter of a folder in float32."""
    stored = load_file(str(folder / "adapter_model.safetensors"))
    return {name.removeprefix(PREFIX): value.float() for name, value in stored.items()}
