"""Text to token ids and back."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbehav.errors import InputError
from diffbehav.serve import Renderer

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße, 5 €?"}]
TOOL = {
    "type": "function",
    "function": {"name": "read_file", "parameters": {"type": "object", "properties": {}}},
}


def with_template(model: Path, folder: Path, template: str) -> Renderer:
    """A renderer of `model` with another chat template."""
    for file in model.iterdir():
        if file.suffix == ".json":
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "chat_template.jinja").write_text(template)
    return Renderer(folder)


@pytest.mark.parametrize("tools", [[], [TOOL]])
def test_prompt_ids_are_those_of_the_models_own_tokenizer(
    renderer: Renderer, tiny: Path, tools: list[dict[str, object]]
) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(str(tiny)).apply_chat_template(
        CHAT, tools=tools or None, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    assert renderer.prompt_ids(CHAT, tools) == reference


def test_only_the_token_that_ends_the_turn_is_dropped(renderer: Renderer) -> None:
    call, end = renderer.tokenizer.convert_tokens_to_ids(["<tool_call>", "<|end|>"])
    assert renderer.eos_ids == (end,)
    assert renderer.decode([call, end, end]) == "<tool_call><|end|>"
    assert renderer.decode([call]) == "<tool_call>"
    assert renderer.decode([]) == ""


@given(text=st.text())
def test_decoding_undoes_encoding(renderer: Renderer, text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    assert renderer.decode(renderer.tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_vocabulary_names_every_token_and_no_text_is_undecodable(renderer: Renderer) -> None:
    vocabulary = renderer.vocabulary()
    assert [index for index, _ in vocabulary] == list(range(len(renderer.tokenizer)))
    assert all(text and "\N{REPLACEMENT CHARACTER}" not in text for _, text in vocabulary)
    assert " " in dict(vocabulary).values()


def test_a_conversation_that_the_template_refuses_is_an_input_error(tiny: Path, tmp_path: Path) -> None:
    refusing = with_template(tiny, tmp_path, "{{ raise_exception('no system role') }}")
    with pytest.raises(InputError, match="no system role"):
        refusing.prompt_ids(CHAT, [])


@pytest.mark.parametrize(
    ("template", "content"),
    [
        ("{% for name, value in messages[-1].content | items %}{{ name }}{% endfor %}", "[1]"),
        ("{{ messages[-1].content.format(1) }}", "{0} {1}"),
        ("{{ messages[-1].content | int // 0 }}", "1"),
        ("{{ messages[-1].content }}", "/srv/\ud800"),
    ],
)
def test_a_conversation_over_which_the_template_breaks_is_an_input_error(
    tiny: Path, tmp_path: Path, template: str, content: str
) -> None:
    broken = with_template(tiny, tmp_path, template)
    with pytest.raises(InputError, match="the chat template refuses a conversation"):
        broken.prompt_ids([{"role": "user", "content": content}], [])


def test_neither_the_room_nor_a_renderer_imports_torch_or_vllm(tiny: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "from diffbehav.serve import Renderer, ReplayEngine, NotStored, prepare, open_engines\n"
        f"Renderer(pathlib.Path({str(tiny)!r})).prompt_ids([{{'role': 'user', 'content': 'hi'}}], [])\n"
        "print([name for name in ('torch', 'vllm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
