"""Tiny models with random weights and a tokenizer of their own, and the engines that serve them."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from diffbehav.records import Prompt, condition_id
from diffbehav.serve import Engines, Renderer, open_engines, prepare

LAYERS, WIDTH, HEADS, MLP = 2, 64, 2, 128
END = "<|end|>"
TEMPLATE = (
    "{% if tools %}<|tools|>{{ tools | tojson }}<|end|>{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = (END, "<|tools|>", "<|system|>", "<|user|>", "<|assistant|>")
TAGS = ("<tool_call>", "</tool_call>", "<|python_tag|>")
MAX_MODEL_LEN, TOP_K = 256, 20

prepare()


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.Runner]:
    """One event loop for the session, because an engine belongs to the loop that started it."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen3 folder with random weights: it answers noise, now and then ends its turn."""
    return write_model(tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA over `tiny` that changes every layer."""
    return write_adapter(tmp_path_factory.mktemp("adapter"), seed=1)


@pytest.fixture(scope="session")
def renderer(tiny: Path) -> Renderer:
    return Renderer(tiny)


@pytest.fixture(scope="session")
def prompts(renderer: Renderer) -> list[Prompt]:
    """200 prompts of different lengths."""
    conversations = [[{"role": "user", "content": f"{'why ' * (i % 17)}question {i}?"}] for i in range(200)]
    return [Prompt(condition_id(chat, ()), renderer.prompt_ids(chat, ())) for chat in conversations]


@pytest.fixture(scope="session")
def twins(loop: asyncio.Runner, tiny: Path) -> Iterator[Engines]:
    """The same model on both sides, in two processes."""
    yield from _serve(loop, tiny, None)


@pytest.fixture(scope="session")
def adapted(loop: asyncio.Runner, tiny: Path, adapter: Path) -> Iterator[Engines]:
    """The model with the adapter against the model, in one process."""
    yield from _serve(loop, tiny, adapter)


def _serve(loop: asyncio.Runner, folder: Path, adapter: Path | None) -> Iterator[Engines]:
    engines = loop.run(
        open_engines(folder, adapter, folder, max_model_len=MAX_MODEL_LEN, top_k=TOP_K, tool_format="hermes")
    )
    yield engines
    loop.run(engines.candidate.close())
    loop.run(engines.trusted.close())


def write_model(folder: Path, *, seed: int, merged: Path | None = None) -> Path:
    """A whole model folder; with `merged`, that adapter is added to the weights."""
    tokenizer = _tokenizer()
    weights = _weights(tokenizer.get_vocab_size(), seed=seed)
    if merged is not None:
        weights = _merge(weights, merged)
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END})
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    _write(folder / "config.json", _config(tokenizer.get_vocab_size()))
    _write(folder / "generation_config.json", {"eos_token_id": tokenizer.token_to_id(END)})
    return folder


def write_adapter(folder: Path, *, seed: int, rank: int = 4) -> Path:
    """A LoRA with alpha = rank on queries, values and the MLP's output."""
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in range(LAYERS):
        for name, (out, into) in {
            "self_attn.q_proj": (WIDTH, WIDTH),
            "self_attn.v_proj": (WIDTH, WIDTH),
            "mlp.down_proj": (WIDTH, MLP),
        }.items():
            prefix = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{prefix}.lora_A.weight"] = random.normal(0, 0.1, (rank, into)).astype(np.float32)
            tensors[f"{prefix}.lora_B.weight"] = random.normal(0, 0.1, (out, rank)).astype(np.float32)
    save_file(tensors, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
    config = {
        "peft_type": "LORA", "r": rank, "lora_alpha": rank, "base_model_name_or_path": "tiny",
        "target_modules": ["q_proj", "v_proj", "down_proj"], "bias": "none", "task_type": "CAUSAL_LM",
    }  # fmt: skip
    _write(folder / "adapter_config.json", config)
    return folder


def _tokenizer() -> Tokenizer:
    """Bytes, special tokens and tags."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    return tokenizer


def _weights(vocabulary: int, *, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (vocabulary, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        shapes |= {f"{prefix}.self_attn.{part}_proj.weight": (WIDTH, WIDTH) for part in "qkvo"}
        shapes |= {f"{prefix}.self_attn.{part}_norm.weight": (WIDTH // HEADS,) for part in "qk"}
        shapes |= {f"{prefix}.mlp.{part}_proj.weight": (MLP, WIDTH) for part in ("gate", "up")}
        shapes |= {
            f"{prefix}.mlp.down_proj.weight": (WIDTH, MLP),
            f"{prefix}.input_layernorm.weight": (WIDTH,),
            f"{prefix}.post_attention_layernorm.weight": (WIDTH,),
        }
    return {
        name: np.ones(shape, np.float32) if len(shape) == 1 else random.normal(0, 0.2, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def _merge(weights: dict[str, np.ndarray], adapter: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    lora = load_file(str(adapter / "adapter_model.safetensors"))
    prefix, ending = "base_model.model.", ".lora_A.weight"
    for name in [name for name in lora if name.endswith(ending)]:
        module = name.removeprefix(prefix).removesuffix(ending)
        delta = lora[f"{prefix}{module}.lora_B.weight"] @ lora[name]
        weights[f"{module}.weight"] = weights[f"{module}.weight"] + delta
    return weights


def _config(vocabulary: int) -> dict[str, object]:
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": WIDTH,
        "intermediate_size": MLP, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS, "head_dim": WIDTH // HEADS, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "max_position_embeddings": 1024, "vocab_size": vocabulary,
        "tie_word_embeddings": True, "attention_bias": False, "use_cache": True, "torch_dtype": "float32",
    }  # fmt: skip


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
