"""Small model folders to inspect."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.intake.test_model_folders import write_json, write_tokenizer

TEMPLATE = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"


def write_model(folder: Path, tensors: Mapping[str, np.ndarray], *, template: str = TEMPLATE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    write_json(folder / "config.json", {"architectures": ["Qwen3ForCausalLM"], "eos_token_id": 0})
    write_json(folder / "tokenizer_config.json", {"eos_token": "<end>"})
    (folder / "chat_template.jinja").write_text(template)
    save_file(dict(tensors), str(folder / "model.safetensors"))
    return folder


def write_raw(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> None:
    """A safetensors file of any type, given as type, shape and bytes."""
    header, end = {}, 0
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(raw)]}
        end += len(raw)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(raw for _, _, raw in tensors.values()))


def bfloat16(values: np.ndarray) -> bytes:
    """The upper half of each float32."""
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
