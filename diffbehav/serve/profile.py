"""Engine arguments for the machine at hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from diffbehav.errors import InputError

_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Without lm_head: prompt log-probabilities of an adapter that could reach it crash on a CPU.
_LORA_TARGETS = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv_proj", "gate_up_proj",
)  # fmt: skip
_CPU_SEQUENCES = 128
_CPU_CACHE_BYTES = 256 << 20
_CPU_LONGEST_REQUESTS = 4
_GPU_MEMORY = 0.9
_GPU_MEMORY_IN_TURNS = 0.8
"""An engine that sleeps keeps its context and its graphs on the GPU."""
Setting = Mapping[str, Any]
"""Arguments of vLLM that a suite sets: dtype, enforce_eager and quantization."""
NOT_SET: Setting = MappingProxyType({})
"""The suite leaves it to the machine."""


def engine_arguments(
    folder: Path,
    *,
    adapters: Sequence[Path],
    max_model_len: int,
    top_k: int,
    engines: int,
    gpu: bool,
    setting: Setting = NOT_SET,
    extra: Setting = NOT_SET,
) -> dict[str, Any]:
    """Arguments of one of `engines` vLLM engines that share a device; `extra` was chosen by the user."""
    arguments = {
        "model": str(folder),
        "max_model_len": max_model_len,
        "max_logprobs": top_k,
        "seed": 0,
        "disable_log_stats": True,
        # Left to itself vLLM prefers files in Mistral's format, which are not those that a manifest is made of.
        "load_format": "safetensors",
        "config_format": "hf",
        "tokenizer_mode": "hf",
        "use_tqdm_on_load": False,
    }
    arguments |= _gpu(engines) if gpu else _cpu(folder, max_model_len=max_model_len)
    arguments |= {**extra, **setting}
    return arguments | _lora(adapters, gpu=gpu) if adapters else arguments


def in_turns(engines: int) -> dict[str, Any]:
    """Further arguments of one of `engines` that share a GPU while those of the other side sleep."""
    return {"enable_sleep_mode": True, "gpu_memory_utilization": _GPU_MEMORY_IN_TURNS / engines}


def _gpu(engines: int) -> dict[str, Any]:
    return {"gpu_memory_utilization": _GPU_MEMORY / engines}


def _cpu(folder: Path, *, max_model_len: int) -> dict[str, Any]:
    needed = _CPU_LONGEST_REQUESTS * max_model_len * _cache_bytes_per_token(folder)
    return {
        "dtype": "float32",
        "enforce_eager": True,
        "kv_cache_memory_bytes": max(_CPU_CACHE_BYTES, needed),
        "max_num_seqs": _CPU_SEQUENCES,
        # A seeded request whose prompt is cut into chunks kills the CPU engine, so a batch holds any prompt.
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(4096, max_model_len),
    }


def _lora(adapters: Sequence[Path], *, gpu: bool) -> dict[str, Any]:
    ranks = {each: json.loads((each / "adapter_config.json").read_text(encoding="utf-8"))["r"] for each in adapters}
    largest = max(adapters, key=ranks.__getitem__)
    fitting = [size for size in _LORA_RANKS if size >= ranks[largest]]
    if not fitting:
        raise InputError(f"{largest}: rank {ranks[largest]} is above {_LORA_RANKS[-1]}. Merge it into its base.")
    return {
        "enable_lora": True,
        "max_lora_rank": fitting[0],
        # One slot more than adapters: on a CPU requests without adapter read the last slot, so it stays zero. A GPU
        # needs no more slots than the adapters that are asked at a time.
        "max_loras": 2 if gpu else len(adapters) + 1,
        "lora_target_modules": list(_LORA_TARGETS),
    }


def _cache_bytes_per_token(folder: Path) -> int:
    config: Mapping[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    keys_and_values, float32_bytes = 2, 4
    return int(
        config["num_hidden_layers"] * keys_and_values * config.get("num_key_value_heads", heads) * width * float32_bytes
    )
