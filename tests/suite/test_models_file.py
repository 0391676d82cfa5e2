"""Models files: what is read, and that whatever is wrong is shown with its line and a remedy."""

from pathlib import Path

import pytest

from diffbehav.errors import InputError
from diffbehav.suite import load_gate, load_models, load_nightly

WHOLE = """\
schema: diffbehav.models/1
candidate:
  model: tuned
  adapter: lora
  engine: {tensor_parallel_size: 2, devices: [0, 1], dtype: bfloat16}
trusted:
  model: http://127.0.0.1:8000/v1#base
  files: base
"""


def written(folder: Path, text: str) -> Path:
    for name in ("tuned", "lora", "base"):
        (folder / name).mkdir(exist_ok=True)
    path = folder / "models.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_start_from_the_file_and_devices_have_the_name_of_vllm(tmp_path: Path) -> None:
    models = load_models(written(tmp_path, WHOLE))
    assert models.options() == {
        "candidate": tmp_path / "tuned", "candidate_adapter": tmp_path / "lora", "candidate_files": None,
        "trusted": "http://127.0.0.1:8000/v1#base", "trusted_files": tmp_path / "base",
    }  # fmt: skip
    chosen = {"tensor_parallel_size": 2, "device_ids": [0, 1], "dtype": "bfloat16"}
    assert models.file.candidate.engine.arguments == chosen
    assert models.file.trusted.engine.arguments == {}
    assert models.file.placement == "together"


@pytest.mark.parametrize(
    ("old", "new", "place", "said", "fix"),
    [
        ("dtype: bfloat16", "dtpe: bfloat16", "5:54", "unknown key, did you mean `dtype`?", "rename the key"),
        ("dtype: bfloat16", "seed: 1", "5:54", "unknown key", "diffbehav schema --models"),
        ("dtype: bfloat16", "max_num_seqs: many", "5:68", "wants a whole number, got 'many'", "write a whole number"),
        ("  model: tuned", "  model: tuned\n  model: base", "4:3", "model", "keep one of the two"),
        ("[0, 1]", "[0]", "5:46", "1 for an engine of 2 parts", "name a device for each part"),
        ("[0, 1]", "[1, 1]", "5:46", "a device is named twice", "diffbehav schema --models"),
        ("adapter: lora", "adapter: nowhere", "4:12", "there is no folder", "name one that exists"),
        ("adapter: lora", "files: base", "4:10", "belongs to an address", "remove `files`"),
        ("  files: base\n", "", "7:10", "an address, without the folder", "add `files:`"),
        ("  files: base\n", "  files: base\n  engine: {dtype: float16}\n", "9:11", "arguments of its own", "remove"),
        ("trusted:", "workers: 2\ntrusted:", "6:10", "belongs to `placement: ray`", "remove it"),
        ("trusted:", "placement: turns\ntrusted:", "6:12", "does not place it", "name folders"),
        ("trusted:", "placement: sideways\ntrusted:", "6:12", "'together', 'turns' or 'ray'", "schema --models"),
    ],
)
def test_what_is_wrong_is_shown_where_it_stands(
    tmp_path: Path, old: str, new: str, place: str, said: str, fix: str
) -> None:
    path = written(tmp_path, WHOLE.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        load_models(path)
    shown = str(refused.value)
    assert f"{path}:{place}" in shown
    assert said in shown
    assert fix in shown.split("fix: ", 1)[1]


@pytest.mark.parametrize("load", [load_models, load_gate, load_nightly])
def test_every_kind_of_file_is_read_as_strictly(load: object, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    for text, said in (("a: 1\na: 2\n", f"{path}:2:1"), ("a: [1\n", f"{path}:"), ("b: 1\n", "unknown key")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="error") as refused:
            load(path)  # type: ignore[operator]
        assert said in str(refused.value)
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="in UTF-8"):
        load(path)  # type: ignore[operator]
