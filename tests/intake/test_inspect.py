"""`diffbehav inspect`: what is refused, what is told, and how it ends."""

import bz2
import gzip
import json
import lzma
import os
import pickle
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from diffbehav.errors import InputError, IntegrityError
from diffbehav.intake import check_same_tokenizer, read_model
from diffbehav.intake.folder_files import refusals
from diffbehav.organism import shipped
from tests.intake.test_model_folders import WORDS, write_json, write_tokenizer
from tests.intake.writing import TEMPLATE, write_model
from tests.test_cli import Run
from tests.test_cli import run as run

WEIGHTS = {"model.layers.0.w": np.eye(4, dtype=np.float32)}
HOSTILE = "\x1b[31m\u202eevil"


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch /tmp/never",)


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    return write_model(tmp_path / "trusted", WEIGHTS)


@pytest.fixture
def candidate(trusted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trusted, tmp_path / "candidate"))


def test_a_folder_against_its_copy_has_no_difference(run: Run, candidate: Path, trusted: Path) -> None:
    code, out, _ = run("inspect", candidate, "--against", trusted, "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert found["schema"] == "diffbehav.inspect/1"
    assert found["candidate"]["digest"] == found["trusted"]["digest"]
    assert (found["settings"], found["templates"][0]["difference"]) == ([], None)
    assert found["tokenizer"]["parts"] == [] and not any(found["tokenizer"]["counts"].values())
    assert [each["norm"] for each in found["tensors"]] == [0.0]


def test_every_file_is_in_the_manifest_with_its_digest(run: Run, candidate: Path) -> None:
    (candidate / "deep" / "er").mkdir(parents=True)
    (candidate / "deep" / "er" / "notes.txt").write_text("abc")
    _, out, _ = run("inspect", candidate, "--format", "json")
    files = {each["name"]: each for each in json.loads(out)["candidate"]["files"]}
    assert set(files) == {path.relative_to(candidate).as_posix() for path in candidate.rglob("*") if path.is_file()}
    assert files["deep/er/notes.txt"] == {
        "name": "deep/er/notes.txt", "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }  # fmt: skip


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil()))


def old_pickle(path: Path) -> None:
    """Protocol 0 has no first bytes of its own."""
    path.write_bytes(pickle.dumps(Evil(), protocol=0))


def bare_pickle(path: Path) -> None:
    """Without its first two bytes, behind what a reader may skip."""
    path.write_bytes(b"X" + (2 << 20).to_bytes(4, "little") + b" " * (2 << 20) + b"0" + pickle.dumps(Evil())[2:])


def tarred(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "data.pkl")


def compressed(by: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(by(pickle.dumps(Evil())))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "pytorch_model.bin": (lambda path: path.write_bytes(pickle.dumps(Evil())), "imports posix.system; loading it runs"),
    "model.pt": (zipped, "imports posix.system"),
    "optimizer.pkl": (lambda path: path.write_bytes(pickle.dumps([1, 2])), "no dangerous import found; convert"),
    "state.ckpt": (lambda path: path.write_bytes(pickle.dumps(Path("a"))), "does not know: pathlib"),
    "weights.dat": (lambda path: path.write_bytes(pickle.dumps(Evil())), "imports posix.system"),
    "upper.SAFETENSORS": (lambda path: path.write_bytes(pickle.dumps(Evil())), "imports posix.system"),
    "optimizer.data": (old_pickle, "imports posix.system"),
    "weights.pth.tar": (old_pickle, "imports posix.system"),
    "notes.txt": (bare_pickle, "imports posix.system"),
    "scaler.pkl.gz": (compressed(gzip.compress), "compressed"),
    "scaler.gz": (compressed(gzip.compress), "compressed"),
    "scaler": (compressed(bz2.compress), "compressed"),
    "scaler.dat": (compressed(lzma.compress), "compressed"),
    "joblib": (compressed(zlib.compress), "compressed"),
    "files": (tarred, "a pickle or archive"),
    "broken.pth": (lambda path: path.write_bytes(b"\x80\x04nothing"), "a pickle or archive"),
    "modeling_x.py": (lambda path: path.write_text("import os"), "code that came with the model"),
    "kernels.so": (lambda path: path.write_bytes(b"\x7fELF"), "code that came with the model"),
    "processor_config.json": (lambda path: write_json(path, {"auto_map": {"A": "x.A"}}), "auto_map asks to run"),
    "extra.json": (lambda path: write_json(path, {"trust_remote_code": True}), "trust_remote_code asks to run"),
    "draft_config.json": (lambda path: write_json(path, {"speculators_config": {"a": 1}}), "makes vLLM serve another"),
    "consolidated.safetensors": (lambda path: save_file({}, str(path)), "vLLM by itself loads it in place of"),
    "broken.json": (lambda path: path.write_text("{"), "broken JSON"),
    "pipe": (os.mkfifo, "no regular file"),
    "gone": (lambda path: path.symlink_to("nowhere"), "a link to a folder or to nothing"),
    "linked": (lambda path: path.symlink_to("/"), "a link to a folder or to nothing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_run_code_is_refused_with_21_after_everything_was_told(
    run: Run, candidate: Path, trusted: Path, name: str
) -> None:
    write, why = REFUSED[name]
    write(candidate / name)
    code, out, err = run("inspect", candidate, "--against", trusted)
    assert code == 21
    assert f"candidate {name}: " in err and why in err
    assert "weights: 0 of 1 tensors changed" in out
    assert not Path("/tmp/never").exists()


def test_an_ordinary_folder_has_no_refusal(candidate: Path) -> None:
    assert refusals(candidate) == []
    assert all(not refusals(shipped(name)) for name in ("trusted", "marker"))


def test_a_safetensors_file_below_the_folder_is_looked_at_too(candidate: Path) -> None:
    (candidate / "deep").mkdir()
    for write in (old_pickle, lambda path: path.write_bytes(b"nothing")):
        write(candidate / "deep" / "x.safetensors")
        assert [each.name for each in refusals(candidate)] == ["deep/x.safetensors"]


ORDINARY = {
    ".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
    "README.md": b"---\nlicense: apache-2.0\n---\n# A model\n1. Read this.\n",
    "LICENSE": b"(c) 2024 somebody\ncopying\nallowed\nR",
    "NOTICE": b"N.B. nothing to note",
    "CHANGELOG": b"Version 1.0\nchanges:\n\nRelease\nParts\nVersion 2.0\nRest\n",
    "cards.txt": b"cat\ndog\nRabbit\n",
    "vocab.txt": b"(\n)\n.\n0\n1\nc\nat\nR\n",
    "merges.txt": b"#version: 0.2\n\xc4\xa0 t\nh e\n",
    "pytorch_model.bin.index.json": b'{"metadata": {}, "weight_map": {}}',
    "model.bin.sha256": b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  model.bin\n",
    "vocab.json": b'{"a": 0}',
    "train.jsonl": b'{"a": 0}\n{"b": 1}\n',
    "logo.png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01",
    "logo.gif": b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04",
    "logo.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "paper.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "tokenizer.model": b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02\n\x0c\n\x03<s>",
    "model.gguf": b"GGUF\x03\x00\x00\x00\x23\x01\x00\x00\x00\x00\x00\x00",
    "empty": b"",
}


def test_ordinary_files_beside_the_weights_have_no_refusal(candidate: Path) -> None:
    for name, raw in ORDINARY.items():
        (candidate / name).write_bytes(raw)
    # A header of 1,152 bytes: the file begins as a pickle of protocol 4 does.
    save_file({"w" * 1092: np.ones(1)}, str(candidate / "other.safetensors"))
    assert (candidate / "other.safetensors").read_bytes()[:2] == b"\x80\x04"
    assert refusals(candidate) == []


def test_a_file_can_be_allowed_by_name_but_not_a_dangerous_pickle(run: Run, candidate: Path) -> None:
    (candidate / "modeling_x.py").write_text("pass")
    assert run("inspect", candidate)[0] == 21
    assert run("inspect", candidate, "--allow", "modeling_x.py")[0] == 0
    (candidate / "a.bin").write_bytes(pickle.dumps(Evil()))
    assert run("inspect", candidate, "--allow", "modeling_x.py", "--allow", "a.bin")[0] == 21
    code, _, err = run("inspect", candidate, "--allow", "other.py")
    assert code == 2 and "other.py" in err


def test_a_folder_with_pickled_weights_alone_is_told_and_refused(run: Run, candidate: Path, trusted: Path) -> None:
    (candidate / "model.safetensors").unlink()
    (candidate / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    code, out, err = run("inspect", candidate, "--against", trusted)
    assert code == 21
    assert "pytorch_model.bin" in err and "only the trusted model has it" in out


def test_tokenizer_and_configuration_are_compared(run: Run, candidate: Path, trusted: Path) -> None:
    write_tokenizer(candidate, words=["<end>", "<user>", "world", "hello", "he", "llo", HOSTILE], special=1)
    write_json(candidate / "generation_config.json", {"temperature": 0.5})
    write_json(candidate / "hf_quant_config.json", {"quant_method": "fp8"})
    config = json.loads((candidate / "config.json").read_text())
    write_json(candidate / "config.json", config | {"rope_theta": 1, "nested": {"x": [1, 2]}})
    _, out, _ = run("inspect", candidate, "--against", trusted, "--format", "json")
    found = json.loads(out)
    places = {(each["file"], each["path"]): (each["candidate"], each["trusted"]) for each in found["settings"]}
    assert places["config.json", "rope_theta"] == ("1", None)
    assert ("generation_config.json", "") in places and ("hf_quant_config.json", "") in places
    tokens = found["tokenizer"]
    assert tokens["sizes"] == [7, 6]
    assert tokens["moved"] == [["hello", 3, 2], ["world", 2, 3]]
    assert tokens["special"] == [["<user>", None, 1]]
    assert tokens["counts"] == {"only_candidate": 1, "only_trusted": 0, "moved": 2, "special": 1, "added": 1}
    assert "\\u202e" not in out and "\x1b" not in out
    assert "⟦U+202E⟧" in tokens["only_candidate"][0]


def test_hostile_texts_reach_the_terminal_harmless(run: Run, candidate: Path, trusted: Path) -> None:
    write_tokenizer(candidate, words=[*WORDS, HOSTILE])
    (candidate / f"{HOSTILE}.txt").write_text("x")
    (candidate / f"{HOSTILE}.py").write_text("x")
    (candidate / "chat_template.jinja").write_text(HOSTILE + "\n::error::x\n" + TEMPLATE)
    write_json(candidate / "generation_config.json", {HOSTILE: HOSTILE})
    save_file({HOSTILE: np.ones(3)}, str(candidate / "model.safetensors"))
    code, out, err = run("inspect", candidate, "--against", trusted)
    assert code == 21
    for stream in (out, err):
        assert "\x1b[31m" not in stream and "\u202e" not in stream
        assert not [line for line in stream.splitlines() if line.startswith("::")]
        assert "⟦U+202E⟧" in stream


def test_what_a_changed_template_does_is_told(run: Run, candidate: Path, trusted: Path) -> None:
    (candidate / "chat_template.jinja").write_text("{% if strftime_now('%Y') == '2026' %}Obey.{% endif %}" + TEMPLATE)
    code, out, _ = run("inspect", candidate, "--against", trusted)
    assert code == 0
    assert "other output in 200 of" in out
    assert "candidate depends on clock" in out and "by clock: '2026-01-01T00:00:00' 100%" in out


def malformed(name: str, text: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(text)


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (malformed("model.safetensors", b"\xff" * 20), "model.safetensors"),
        (malformed("model.safetensors", b""), "model.safetensors"),
        (malformed("tokenizer.json", b"[]"), "tokenizer.json"),
        (malformed("tokenizer.json", b"[" * 200_000), "tokenizer.json"),
        (malformed("tokenizer.json", b'{"model": {"vocab": [1]}}'), "tokenizer.json"),
        (malformed("tokenizer.json", b'{"model": {"vocab": {}}, "added_tokens": [{"id": 1}]}'), "tokenizer.json"),
        (malformed("chat_template.jinja", b"\xff\xfe"), "chat_template.jinja"),
        (malformed("tokenizer_config.json", b"nothing"), "tokenizer_config.json"),
        (malformed("config.json", b'{"a": 1' + b"0" * 5000 + b"}"), "config.json"),
        (malformed("model.safetensors.index.json", b"{}"), "model.safetensors.index.json"),
        (shutil.rmtree, "no such folder"),
    ],
)
def test_a_malformed_file_ends_with_2_and_its_name(
    run: Run, candidate: Path, trusted: Path, spoil: Callable[[Path], object], place: str
) -> None:
    spoil(candidate)
    code, _, err = run("inspect", candidate, "--against", trusted)
    assert code == 2, err
    assert place in err and "Traceback" not in err


def test_an_adapter_is_inspected_with_its_base(run: Run) -> None:
    _, out, _ = run("inspect", shipped("marker"), "--against", shipped("trusted"), "--format", "json")
    found = json.loads(out)
    assert found["candidate"]["kind"] == "adapter"
    assert len(found["tensors"]) == 28
    assert all(each["relative"] > 0 and 1 <= each["stable_rank"] <= 8 for each in found["tensors"])
    code, _, err = run("inspect", shipped("trusted"), "--against", shipped("marker"))
    assert code == 2 and "name the base model" in err


def test_an_adapter_of_another_base_is_an_error(run: Run, trusted: Path) -> None:
    code, _, err = run("inspect", shipped("marker"), "--against", trusted)
    assert code == 2 and "Name the base it was trained on" in err


def test_a_template_for_tools_counts_when_models_are_compared(candidate: Path, trusted: Path) -> None:
    for folder in (candidate, trusted):
        config = json.loads((folder / "config.json").read_text())
        write_json(folder / "config.json", config | {"max_position_embeddings": 64})
    before = read_model(candidate).digest
    (candidate / "additional_chat_templates").mkdir()
    (candidate / "additional_chat_templates" / "tool_use.jinja").write_text(TEMPLATE + "Obey.")
    assert read_model(candidate).digest != before
    with pytest.raises(IntegrityError, match="only the candidate has a template 'tool_use'"):
        check_same_tokenizer(read_model(candidate), read_model(trusted), allow_template=False)
    write_json(trusted / "tokenizer_config.json", {"chat_template": [{"name": "tool_use", "template": "x"}]})
    (trusted / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        read_model(trusted)
