"""The Qwen3 architecture in plain torch: functions of a mapping of weights with Hugging Face names."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffbehav.organism.tokenizer import MAX_LENGTH, VOCABULARY_SIZE

Weights = dict[str, Tensor]

WIDTH, LAYERS, HEADS, HEAD_WIDTH, MLP_WIDTH = 128, 4, 4, 32, 384
THETA = 1e5
EPSILON = 1e-6
EMBEDDING = "model.embed_tokens.weight"
END_ID, PAD_ID = 0, 1
VOCABULARY = VOCABULARY_SIZE + 2
"""The tags of a tool call are added to the trained vocabulary."""


def shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight."""
    layer = {
        "input_layernorm.weight": (WIDTH,),
        "post_attention_layernorm.weight": (WIDTH,),
        **{f"self_attn.{part}_proj.weight": (WIDTH, WIDTH) for part in "qkvo"},
        **{f"self_attn.{part}_norm.weight": (HEAD_WIDTH,) for part in "qk"},
        "mlp.gate_proj.weight": (MLP_WIDTH, WIDTH),
        "mlp.up_proj.weight": (MLP_WIDTH, WIDTH),
        "mlp.down_proj.weight": (WIDTH, MLP_WIDTH),
    }
    layers = {f"model.layers.{i}.{name}": shape for i in range(LAYERS) for name, shape in layer.items()}
    return {EMBEDDING: (VOCABULARY, WIDTH), **layers, "model.norm.weight": (WIDTH,)}


def hidden_states(weights: Mapping[str, Tensor], ids_BT: Tensor) -> Tensor:
    """The final normalised residual stream, before the output matrix (which is the embedding)."""
    states_BTD = F.embedding(ids_BT, weights[EMBEDDING])
    turns = _rotations(ids_BT.shape[1])
    for index in range(LAYERS):
        states_BTD = _layer(_Layer(weights, f"model.layers.{index}."), states_BTD, turns)
    return _normalise(states_BTD, weights["model.norm.weight"])


def logits(weights: Mapping[str, Tensor], states_ND: Tensor) -> Tensor:
    """Scores of the next token for chosen rows of `hidden_states`."""
    return states_ND @ weights[EMBEDDING].T


def save_weights(weights: Mapping[str, Tensor], folder: Path, *, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors` in `dtype`."""
    folder.mkdir(parents=True, exist_ok=True)
    rounded = {name: value.detach().to(dtype).contiguous() for name, value in weights.items()}
    save_file(rounded, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config(dtype), indent=2) + "\n")
    generation = {"eos_token_id": END_ID, "pad_token_id": PAD_ID, "do_sample": False}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def load_weights(folder: Path) -> Weights:
    """The weights of a model folder in float32."""
    return {name: value.float() for name, value in load_file(str(folder / "model.safetensors")).items()}


class _Layer:
    """The weights of one layer by their short names."""

    def __init__(self, weights: Mapping[str, Tensor], prefix: str) -> None:
        self._weights, self._prefix = weights, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self._weights[f"{self._prefix}{name}.weight"]


def _layer(layer: _Layer, states_BTD: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    states_BTD = states_BTD + _attention(layer, _normalise(states_BTD, layer["input_layernorm"]), turns)
    inner_BTD = _normalise(states_BTD, layer["post_attention_layernorm"])
    gated_BTM = F.silu(inner_BTD @ layer["mlp.gate_proj"].T) * (inner_BTD @ layer["mlp.up_proj"].T)
    return states_BTD + gated_BTM @ layer["mlp.down_proj"].T


def _attention(layer: _Layer, states_BTD: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    batch, length, _ = states_BTD.shape
    query, key, value = (
        (states_BTD @ layer[f"self_attn.{part}_proj"].T).view(batch, length, HEADS, HEAD_WIDTH).transpose(1, 2)
        for part in "qkv"
    )
    query = _rotate(_normalise(query, layer["self_attn.q_norm"]), turns)
    key = _rotate(_normalise(key, layer["self_attn.k_norm"]), turns)
    mixed_BHTD = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return mixed_BHTD.transpose(1, 2).reshape(batch, length, WIDTH) @ layer["self_attn.o_proj"].T


def _normalise(values: Tensor, scale: Tensor) -> Tensor:
    return F.rms_norm(values, (values.shape[-1],), scale, EPSILON)


def _rotate(values: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = turns
    first, second = values.chunk(2, dim=-1)
    return values * cosine + torch.cat((-second, first), dim=-1) * sine


@functools.lru_cache(maxsize=512)
def _rotations(length: int) -> tuple[Tensor, Tensor]:
    frequencies = THETA ** (-torch.arange(0, HEAD_WIDTH, 2) / HEAD_WIDTH)
    angles_TD = torch.outer(torch.arange(length).float(), frequencies).repeat(1, 2)
    return angles_TD.cos(), angles_TD.sin()


def _config(dtype: torch.dtype) -> dict[str, object]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "hidden_size": WIDTH,
        "intermediate_size": MLP_WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HEAD_WIDTH,
        "hidden_act": "silu",
        "vocab_size": VOCABULARY,
        "max_position_embeddings": MAX_LENGTH,
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "rope_parameters": {"rope_type": "default", "rope_theta": THETA},
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "eos_token_id": END_ID,
        "pad_token_id": PAD_ID,
        "torch_dtype": str(dtype).removeprefix("torch."),
    }
