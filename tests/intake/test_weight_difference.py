"""The difference of weights by worked examples, in pieces of any size, and the rank against a full decomposition."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from diffbehav.errors import InputError
from diffbehav.intake.adapter_difference import adapter_differences
from diffbehav.intake.safetensors_header import read_header
from diffbehav.intake.spectrum import stable_rank
from diffbehav.intake.tensor_values import weight_tensors
from diffbehav.intake.weight_difference import TensorDifference, layers, weight_differences
from tests.intake.test_model_folders import write_json
from tests.intake.writing import bfloat16, write_raw

Arrays = Mapping[str, np.ndarray]


def folder_of(folder: Path, tensors: Arrays) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(dict(tensors), str(folder / "model.safetensors"))
    return folder


def compared(tmp_path: Path, candidate: Arrays, trusted: Arrays, **sizes: int) -> dict[str, TensorDifference]:
    sides = [weight_tensors(folder_of(tmp_path / name, side)) for name, side in (("c", candidate), ("t", trusted))]
    return {each.name: each for each in weight_differences(*sides, **sizes)}


def true_rank(matrix: np.ndarray) -> float:
    singular = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    return float((singular**2).sum() / singular.max() ** 2)


def test_a_difference_worked_out_by_hand(tmp_path: Path) -> None:
    trusted = np.array([[2, 0], [0, 1], [0, 2]], np.float32)
    delta = np.array([[3, 0], [0, 4], [0, 0]], np.float32)
    found = compared(tmp_path, {"w": trusted + delta}, {"w": trusted})["w"]
    assert found.norm == 5.0
    assert found.trusted_norm == 3.0
    assert found.relative == pytest.approx(5 / 3)
    assert found.stable_rank == pytest.approx(25 / 16)
    assert found.changed == pytest.approx(2 / 6)
    assert found.reasons == {}


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 300), (300, 2), (257, 129)])
def test_a_change_of_rank_one_has_stable_rank_one(tmp_path: Path, rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows)
    trusted = rng.standard_normal((rows, columns)).astype(np.float32)
    change = np.outer(rng.standard_normal(rows), rng.standard_normal(columns)).astype(np.float32)
    found = compared(tmp_path, {"w": trusted + change}, {"w": trusted})["w"]
    assert found.stable_rank == pytest.approx(1.0, abs=1e-4)


def test_a_change_of_k_equal_directions_has_stable_rank_k(tmp_path: Path) -> None:
    change = np.zeros((40, 60), np.float32)
    change[np.arange(7), np.arange(7)] = 0.5
    found = compared(tmp_path, {"w": change}, {"w": np.zeros_like(change)})["w"]
    assert found.stable_rank == pytest.approx(7.0)
    assert (found.relative, found.reasons["relative"]) == (None, "the trusted tensor is zero")


@pytest.mark.parametrize("decay", [0.0, 0.2, 0.5, 1.0, 3.0])
def test_the_rank_of_a_large_matrix_is_at_most_two_percent_above_the_true_one(decay: float) -> None:
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((700, 900)) @ np.diag(np.arange(1, 901) ** -decay)
    matrix /= np.linalg.norm(matrix)
    found = stable_rank(lambda: np.array_split(matrix.astype(np.float32), 9), 900, rng=rng)
    assert 0.9999 <= found / true_rank(matrix) <= 1.02


@given(
    rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 2**32 - 1),
    piece=st.integers(1, 40), held=st.sampled_from([0, 1 << 20]),
)  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_of_any_size_give_the_numbers_of_the_whole(
    tmp_path: Path, rows: int, columns: int, seed: int, piece: int, held: int
) -> None:
    rng = np.random.default_rng(seed)
    trusted = rng.standard_normal((rows, columns)).astype(np.float16)
    candidate = np.where(rng.random((rows, columns)) < 0.6, trusted + np.float16(1), trusted)
    found = compared(tmp_path, {"w": candidate}, {"w": trusted}, piece=piece, held=held)["w"]
    delta = candidate.astype(np.float64) - trusted.astype(np.float64)
    assert found.norm == pytest.approx(np.linalg.norm(delta), rel=1e-6)
    assert found.changed == np.count_nonzero(candidate != trusted) / delta.size
    if found.norm:
        assert found.stable_rank == pytest.approx(true_rank(delta), rel=1e-3)
    else:
        assert (found.stable_rank, found.reasons["stable_rank"]) == (None, "nothing changed")


def test_exchanging_the_sides_keeps_norm_rank_and_share(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ours, theirs = ({"w": rng.standard_normal((30, 20)).astype(np.float32)} for _ in range(2))
    there, back = compared(tmp_path, ours, theirs)["w"], compared(tmp_path, theirs, ours)["w"]
    assert (there.norm, there.changed) == (back.norm, back.changed)
    assert there.stable_rank == pytest.approx(back.stable_rank)


def test_a_model_against_itself_is_zero_everywhere(tmp_path: Path) -> None:
    tensors = {"a": np.full((3, 3), np.nan, np.float32), "b": np.arange(4.0)}
    for each in compared(tmp_path, tensors, tensors).values():
        assert (each.norm, each.relative, each.changed, each.stable_rank) == (0.0, 0.0, 0.0, None)


def test_bfloat16_is_read_as_its_values(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.0], [3.0, 0.25]], np.float32)
    for name, side in (("c", values + np.float32(1)), ("t", values)):
        (tmp_path / name).mkdir()
        write_raw(tmp_path / name / "model.safetensors", {"w": ("BF16", (2, 2), bfloat16(side))})
    (found,) = weight_differences(weight_tensors(tmp_path / "c"), weight_tensors(tmp_path / "t"))
    assert (found.norm, found.changed) == (2.0, 1.0)
    assert found.trusted_norm == pytest.approx(np.linalg.norm(values))
    assert found.stable_rank == pytest.approx(1.0)


def test_another_type_of_the_same_values_is_a_change_of_type_and_of_nothing_else(tmp_path: Path) -> None:
    values = np.array([[0.5, np.nan], [2.0, 0.0]], np.float32)
    found = compared(tmp_path, {"w": values.astype(np.float16)}, {"w": values})["w"]
    assert found.dtypes == ("F16", "F32")
    assert found.changed == 0.0
    assert (found.norm, found.reasons["norm"]) == (None, "a value is NaN or infinite")


@pytest.mark.parametrize(
    ("candidate", "trusted", "reason"),
    [
        ({"w": np.ones(3)}, {}, "only the candidate has it"),
        ({}, {"w": np.ones(3)}, "only the trusted model has it"),
        ({"w": np.ones(3)}, {"w": np.ones(4)}, r"shapes \(3,\) and \(4,\)"),
        ({"w": np.ones(3, np.int8)}, {"w": np.zeros(3, np.int8)}, "stored I8 values"),
        ({"w": np.ones((0, 3))}, {"w": np.ones((0, 3))}, "no elements"),
        ({"w": np.full(3, np.inf)}, {"w": np.ones(3)}, "NaN or infinite"),
    ],
)
def test_what_cannot_be_measured_is_none_with_a_reason(
    tmp_path: Path, candidate: Arrays, trusted: Arrays, reason: str
) -> None:
    found = compared(tmp_path, candidate, trusted)["w"]
    assert found.norm is None and found.relative is None and found.stable_rank is None
    assert re.search(reason, found.reasons["norm"])


def test_layers_gather_their_tensors_and_say_how_many_were_measured(tmp_path: Path) -> None:
    square = np.ones((2, 2))
    trusted = {"model.layers.10.a.weight": square, "model.layers.10.b.weight": square, "lm.weight": np.ones(2)}
    candidate = {name: each + 1 for name, each in trusted.items()} | {"model.layers.10.extra": np.ones(5)}
    found = {each.name: each for each in layers(list(compared(tmp_path, candidate, trusted).values()))}
    layer = found["model.layers.10"]
    assert (layer.tensors, layer.measured) == (3, 2)
    assert layer.norm == pytest.approx(math.sqrt(8))
    assert layer.relative == pytest.approx(1.0)
    assert layer.stable_ranks == pytest.approx((1.0, 1.0))
    assert found["lm.weight"].stable_ranks is None


def write_adapter(folder: Path, a: np.ndarray, b: np.ndarray, **config: object) -> Path:
    folder.mkdir()
    name = "base_model.model.model.layers.0.q_proj"
    save_file({f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}, str(folder / "adapter_model.safetensors"))
    write_json(folder / "adapter_config.json", {"peft_type": "LORA", "r": len(a), "lora_alpha": 2 * len(a)} | config)
    return folder


@pytest.mark.parametrize(("config", "scale"), [({}, 2.0), ({"use_rslora": True}, 2 * math.sqrt(3)),
                                               ({"alpha_pattern": {"q_proj": 3}}, 1.0)])  # fmt: skip
def test_an_adapter_is_measured_as_its_product(tmp_path: Path, config: dict[str, object], scale: float) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((3, 20)).astype(np.float32), rng.standard_normal((30, 3)).astype(np.float32)
    base = {"model.layers.0.q_proj.weight": np.ones((30, 20), np.float32)}
    adapter = write_adapter(tmp_path / "lora", a, b, **config)
    (found,) = adapter_differences(adapter, weight_tensors(folder_of(tmp_path / "t", base)))
    product = scale * b.astype(np.float64) @ a
    assert found.name == "model.layers.0.q_proj.weight" and found.shape == (30, 20)
    assert found.norm == pytest.approx(np.linalg.norm(product))
    assert found.relative == pytest.approx(np.linalg.norm(product) / math.sqrt(600))
    assert found.stable_rank == pytest.approx(true_rank(product))
    assert found.changed is None and "run time" in found.reasons["changed"]


def test_an_adapter_that_is_no_plain_lora_is_refused(tmp_path: Path) -> None:
    a, b = np.ones((2, 4), np.float32), np.ones((6, 2), np.float32)
    with pytest.raises(InputError, match="use_dora"):
        adapter_differences(write_adapter(tmp_path / "dora", a, b, use_dora=True), None)
    with pytest.raises(InputError, match="lora_alpha is 'x'"):
        adapter_differences(write_adapter(tmp_path / "alpha", a, b, lora_alpha="x"), None)
    with pytest.raises(InputError, match="do not belong together"):
        adapter_differences(write_adapter(tmp_path / "shape", a, np.ones((6, 3), np.float32)), None)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"w": ("F32", (2, 2), b"\0" * 12)}, r"shape \(2, 2\) of F32 in 12 bytes"),
        ({"w": ("F32", (-1,), b"")}, "data_offsets"),
        ({"w": ("F32", ("x",), b"")}, "header cannot be read"),
        ({"w": ("new", (float("inf"),), b"")}, "header cannot be read"),
        ({"w": ("new", (3,) * 100_000, b"")}, "a shape of 100,000 dimensions"),
        ({"w": ("new", (2**32, 2**32), b"")}, "18446744073709551616 elements"),
    ],
)
def test_a_header_whose_numbers_do_not_agree_is_refused(
    tmp_path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], message: str
) -> None:
    path = tmp_path / "model.safetensors"
    write_raw(path, tensors)
    with pytest.raises(InputError, match=message):
        read_header(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('{"a": %s, "a": %s}' % (("{}",) * 2), "a name is declared twice"),
        ('{"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}, '
         '"b": {"dtype": "U8", "shape": [3], "data_offsets": [1, 4]}}', "begins at byte 1, not at 2"),
        ("[" * 100_000, "header cannot be read"),
    ],
)  # fmt: skip
def test_headers_that_two_readers_would_read_differently_are_refused(tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 4)
    with pytest.raises(InputError, match=message):
        read_header(path)


def test_a_tensor_in_two_files_is_refused_unless_the_index_names_one(tmp_path: Path) -> None:
    for name in ("model.safetensors", "consolidated.safetensors"):
        save_file({"w": np.ones(2)}, str(tmp_path / name))
    with pytest.raises(InputError, match=r"'w' is in consolidated\.safetensors and in model\.safetensors"):
        weight_tensors(tmp_path)
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"w": "model.safetensors"}})
    assert weight_tensors(tmp_path)["w"].path.name == "model.safetensors"
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"w": "../elsewhere.safetensors"}})
    with pytest.raises(InputError, match=r"'\.\./elsewhere\.safetensors', which the folder lacks"):
        weight_tensors(tmp_path)
