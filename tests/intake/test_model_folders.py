"""A model folder is read whole, or refused with the place and a remedy."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from diffbehav.errors import InputError, IntegrityError
from diffbehav.intake import (
    check_adapter_fits,
    check_same_tokenizer,
    is_adapter,
    read_adapter,
    read_model,
)
from diffbehav.intake.inspection import inspect_model
from diffbehav.organism import shipped

WORDS = ["<end>", "<user>", "hello", "world", "he", "llo"]


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def write_tokenizer(folder: Path, *, words: list[str] = WORDS, special: int = 2) -> None:
    added = [{"id": i, "content": word, "special": True} for i, word in enumerate(words[:special])]
    model = {"type": "BPE", "vocab": {word: i for i, word in enumerate(words)}, "merges": ["he llo"]}
    write_json(folder / "tokenizer.json", {"added_tokens": added, "model": model, "truncation": None})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The smallest model folder that can be read."""
    path = tmp_path / "model"
    path.mkdir()
    write_tokenizer(path)
    write_json(
        path / "config.json",
        {"architectures": ["Qwen3ForCausalLM"], "max_position_embeddings": 512, "eos_token_id": 5},
    )
    write_json(path / "generation_config.json", {"eos_token_id": [0, 1]})
    write_json(path / "tokenizer_config.json", {"eos_token": "<end>"})
    (path / "chat_template.jinja").write_text("{{ messages }}\nline two")
    (path / "README.md").write_text("notes")
    save_file({"model.layer.weight": np.zeros((6, 4), np.float32)}, str(path / "model.safetensors"))
    return path


def write_lora(folder: Path, *, module: str = "model.layer", into: int = 4, **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    name = f"base_model.model.{module}"
    tensors = {f"{name}.lora_A.weight": np.zeros((2, into)), f"{name}.lora_B.weight": np.zeros((6, 2))}
    save_file(tensors, str(folder / "adapter_model.safetensors"))
    whole = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": "org/base", "target_modules": ["layer"]}
    write_json(folder / "adapter_config.json", whole | config)
    return folder


def test_a_model_folder_is_read_whole(folder: Path) -> None:
    model = read_model(folder)
    assert model.path == folder.resolve()
    assert (model.architecture, model.context_length, model.eos_ids) == ("Qwen3ForCausalLM", 512, (0, 1))
    assert model.chat_template == "{{ messages }}\nline two"
    assert model.tensors == {"model.layer.weight": (6, 4)}
    assert set(model.files) == {
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip


def test_the_turn_ends_with_the_config_where_there_is_no_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    assert read_model(folder).eos_ids == (5,)


def test_one_changed_byte_of_a_weight_changes_the_digest_and_a_note_does_not(folder: Path) -> None:
    before = read_model(folder).digest
    (folder / "README.md").write_text("other notes")
    assert read_model(folder).digest == before
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert read_model(folder).digest != before


@pytest.mark.parametrize(
    "name", ["params.json", "hf_quant_config.json", "quantize_config.json", "sparse_attention_config.json"]
)
def test_a_configuration_that_vllm_reads_beside_the_main_one_counts_in_the_digest(folder: Path, name: str) -> None:
    before = read_model(folder)
    write_json(folder / name, {})
    after = read_model(folder)
    assert after.files.keys() - before.files.keys() == {name}
    assert after.digest != before.digest


def test_the_shipped_trusted_model_has_the_digest_of_the_shipped_baseline() -> None:
    manifest = json.loads((Path(__file__).parents[2] / "baselines" / "agent_context" / "baseline.json").read_text())
    assert read_model(shipped("trusted")).digest == manifest["digests"]["model"]


def test_a_template_in_the_tokenizer_config_is_found(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    named = [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]
    for template, expected in (("t", "t"), (named, "d")):
        write_json(folder / "tokenizer_config.json", {"chat_template": template})
        assert read_model(folder).chat_template == expected


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def spoil_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((16).to_bytes(8, "little") + b"{not json at all")


def overlong_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((1 << 40).to_bytes(8, "little") + b"{}")


def lose_shard(folder: Path) -> None:
    write_json(folder / "model.safetensors.index.json", {"weight_map": {"a": "model-2.safetensors"}})


def mistral_weights(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")


def set_config(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        write_json(folder / "config.json", config | values)

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (remove("config.json"), r"no config\.json"),
        (lambda f: (f / "config.json").write_text("{"), r"config\.json: broken JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "a JSON object is expected, not list"),
        (set_config(auto_map={"AutoModel": "code.Model"}), "auto_map asks to run Python code"),
        (set_config(architectures=None), "architectures is None"),
        (set_config(max_position_embeddings="512"), "max_position_embeddings is '512'"),
        (pickle_weights, r"only pickled weights \(pytorch_model\.bin\).*safe_serialization"),
        (remove("model.safetensors"), r"no \*\.safetensors"),
        (cut_weights, "declares 96 bytes of weights, the file holds 95"),
        (spoil_header, "the header cannot be read"),
        (overlong_header, "does not fit a file of 10 bytes"),
        (lose_shard, r"declares 'model-2\.safetensors', which the folder lacks"),
        (mistral_weights, r"consolidated\.safetensors: .* loads it in place of the other weights.*Remove it"),
        (set_config(speculators_config={}), "speculators_config makes vLLM serve another model"),
        (set_config(configuration_files=["config.5.0.0.json"]), "configuration_files names another configuration"),
        (lambda f: write_json(f / "tokenizer_config.json", {"fast_tokenizer_files": []}), "fast_tokenizer_files names"),
        (remove("tokenizer.json"), r"no tokenizer\.json"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), r"has no model\.vocab"),
        (remove("chat_template.jinja"), "no chat template"),
    ],
)
def test_what_cannot_be_served_is_refused_with_its_place(
    folder: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=message) as caught:
        read_model(folder)
    assert str(caught.value).startswith(str(folder))
    assert caught.value.exit_code == 2


ENDLESS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a pipe as weights": ("model.safetensors", os.mkfifo, "no regular file"),
    "a device as weights": ("more.safetensors", lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "a link to nothing as weights": ("more.safetensors", lambda path: path.symlink_to("gone"), "no regular file"),
    "a pipe as a template": ("additional_chat_templates/x.jinja", os.mkfifo, "no regular file"),
    "a device as a template": (
        "additional_chat_templates/x.jinja", lambda path: path.symlink_to("/dev/zero"), "no regular file",
    ),
    "a pipe as the template": ("chat_template.jinja", os.mkfifo, "no regular file"),
    "a huge template": ("chat_template.jinja", lambda path: path.write_bytes(b" " * (4 << 20)), "at most 1,048,576"),
    "a huge template in JSON": (
        "tokenizer_config.json", lambda path: write_json(path, {"chat_template": " " * (4 << 20)}), "at most 1,048,576",
    ),
}  # fmt: skip


def give_up(_signal: int, _frame: object) -> None:
    raise TimeoutError


@pytest.mark.parametrize("read", [read_model, lambda folder: inspect_model(folder, None)], ids=["run", "inspect"])
@pytest.mark.parametrize("case", ENDLESS)
def test_a_file_that_would_never_end_is_refused_before_it_is_read(
    folder: Path, case: str, read: Callable[[Path], object]
) -> None:
    name, spoil, message = ENDLESS[case]
    if name == "tokenizer_config.json":
        (folder / "chat_template.jinja").unlink()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    spoil(folder / name)
    # Without the refusal the read would hold up every test behind it, or take all memory.
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        with pytest.raises(InputError, match=message) as caught:
            read(folder)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert str(folder / name) in str(caught.value)


def test_a_model_without_an_end_of_turn_is_refused(folder: Path) -> None:
    set_config(eos_token_id=None)(folder)
    write_json(folder / "generation_config.json", {})
    with pytest.raises(InputError, match="no answer would end"):
        read_model(folder)


def test_an_adapter_is_read_and_told_from_a_model(folder: Path, tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "lora")
    assert is_adapter(lora)
    assert not is_adapter(folder)
    adapter = read_adapter(lora)
    assert (adapter.base, adapter.rank) == ("org/base", 2)
    check_adapter_fits(adapter, read_model(folder))
    with pytest.raises(InputError, match="an adapter, not a model"):
        read_model(lora)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"r": "2"}, "r is '2'"),
        ({"target_modules": ["q_proj", "lm_head"]}, "changes 'lm_head'"),
        ({"target_modules": ".*embed_tokens"}, "changes 'embed_tokens'"),
        ({"modules_to_save": ["lm_head"]}, "changes 'lm_head'"),
        ({"module": "lm_head"}, "changes 'lm_head'"),
    ],
)
def test_adapters_that_an_engine_would_misread_are_refused(
    tmp_path: Path, config: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_adapter(write_lora(tmp_path / "lora", **config))


def test_an_adapter_without_its_files_is_refused(tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "lora")
    (lora / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        read_adapter(lora)
    (lora / "adapter_config.json").unlink()
    with pytest.raises(InputError, match=r"no adapter_config\.json"):
        read_adapter(lora)


def test_an_adapter_of_another_base_is_refused(folder: Path, tmp_path: Path) -> None:
    base = read_model(folder)
    with pytest.raises(InputError, match=r"shape \(2, 5\), which does not fit the \(6, 4\)"):
        check_adapter_fits(read_adapter(write_lora(tmp_path / "lora", into=5)), base)
    with pytest.raises(InputError, match="has no counterpart"):
        check_adapter_fits(read_adapter(write_lora(tmp_path / "lora", module="model.other")), base)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_settings_and_spelling_that_change_no_token_do_not_separate_two_tokenizers(folder: Path, copy: Path) -> None:
    whole = json.loads((copy / "tokenizer.json").read_text())
    whole["truncation"] = {"max_length": 2048}
    whole["model"]["merges"] = [["he", "llo"]]
    (copy / "tokenizer.json").write_text(json.dumps(whole, indent=3))
    check_same_tokenizer(read_model(copy), read_model(folder), allow_template=False)


@pytest.mark.parametrize(
    ("words", "special", "message"),
    [
        ([*WORDS, "new"], 2, "vocabularies of 7 and 6 tokens; first differing.*id 6: 'new', None"),
        (["<end>", "<user>", "hello", "World", "he", "llo"], 2, "id 3: 'World', 'world'"),
        (WORDS, 1, "special tokens differ in '<user>'"),
    ],
)
def test_two_tokenizers_are_refused_with_what_differs(
    folder: Path, copy: Path, words: list[str], special: int, message: str
) -> None:
    write_tokenizer(copy, words=words, special=special)
    with pytest.raises(IntegrityError, match=message) as caught:
        check_same_tokenizer(read_model(copy), read_model(folder), allow_template=True)
    assert caught.value.exit_code == 21


def test_another_merge_rule_is_refused(folder: Path, copy: Path) -> None:
    whole = json.loads((copy / "tokenizer.json").read_text())
    whole["model"]["merges"] = []
    write_json(copy / "tokenizer.json", whole)
    with pytest.raises(IntegrityError, match="merge rule"):
        check_same_tokenizer(read_model(copy), read_model(folder), allow_template=True)


def test_another_chat_template_passes_only_where_it_is_allowed(folder: Path, copy: Path) -> None:
    (copy / "chat_template.jinja").write_text("{{ messages }}\nline 2")
    candidate, trusted = read_model(copy), read_model(folder)
    with pytest.raises(IntegrityError, match="line 2 is 'line 2', trusted 'line two'.*trusted template used for both"):
        check_same_tokenizer(candidate, trusted, allow_template=False)
    check_same_tokenizer(candidate, trusted, allow_template=True)
