"""What two engines are started with: shared GPUs, GPUs of their own, turns, and what a machine cannot have."""

from pathlib import Path
from typing import Any

import pytest

from diffbehav.errors import InputError
from diffbehav.serve import open_engines
from diffbehav.serve.placement import Placement
from diffbehav.serve.sides import ONLY, OneSide, Setup, as_recorded, check_placement, side_arguments
from tests.serve.conftest import write_adapter


def started(tiny: Path, placement: Placement, **options: Any) -> list[dict[str, Any]]:
    sides = [OneSide("candidate", tiny, ()), OneSide("trusted", tiny, ())]
    return side_arguments(sides, Setup(256, 20, "hermes", placement=placement, **options), gpu=True)[ONLY]


def memory(tiny: Path, **chosen: Any) -> list[float]:
    return [each["gpu_memory_utilization"] for each in started(tiny, Placement(**chosen))]


def test_engines_share_the_memory_of_the_gpus_they_have_in_common_alone(tiny: Path) -> None:
    assert memory(tiny) == [0.45, 0.45]
    assert memory(tiny, candidate={"device_ids": [0]}, trusted={"device_ids": [1]}) == [0.9, 0.9]
    two = {"tensor_parallel_size": 2}
    assert memory(tiny, candidate=two, trusted={"device_ids": [1]}) == [0.45, 0.45]
    assert memory(tiny, candidate=two, trusted={"device_ids": [2]}) == [0.9, 0.9]
    assert memory(tiny, candidate={"gpu_memory_utilization": 0.5}) == [0.5, 0.45]


def test_more_than_a_whole_gpu_is_refused_unless_one_side_sleeps(tiny: Path) -> None:
    most = {"gpu_memory_utilization": 0.7}
    with pytest.raises(InputError, match=r"GPU 0: the engines that are open at once would take 1\.40 of its memory"):
        memory(tiny, candidate=most, trusted=most)
    assert memory(tiny, kind="turns", candidate=most, trusted=most) == [0.7, 0.7]


def test_sides_that_take_turns_can_sleep_and_have_the_gpu_alone(tiny: Path) -> None:
    for each in started(tiny, Placement("turns")):
        assert each["enable_sleep_mode"] is True
        assert each["gpu_memory_utilization"] == 0.8


def test_what_the_sides_do_not_share_is_recorded_below_the_name_of_the_side(tiny: Path) -> None:
    sides = [OneSide("candidate", tiny, ()), OneSide("trusted", tiny, ())]
    placement = Placement(candidate={"dtype": "bfloat16"}, trusted={"dtype": "float16", "max_num_seqs": 64})
    recorded = as_recorded(started(tiny, placement), sides)
    assert recorded["candidate"] == {"dtype": "bfloat16"}
    assert recorded["trusted"] == {"dtype": "float16", "max_num_seqs": 64}
    assert recorded["gpu_memory_utilization"] == 0.45
    assert "dtype" not in recorded
    assert "model" not in recorded


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (Placement("turns"), "on a CPU vLLM has no sleep mode"),
        (Placement(trusted={"tensor_parallel_size": 2}), "trusted.engine sets tensor_parallel_size, which needs a GPU"),
        (Placement(candidate={"device_ids": [0]}), "candidate.engine sets devices, which needs a GPU"),
        (Placement(candidate={"quantization": "fp8"}), "candidate.engine sets quantization, which needs a GPU"),
    ],
)
def test_what_a_cpu_cannot_have_is_refused_before_anything_starts(placement: Placement, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_placement(placement, {})


def test_a_suite_and_a_models_file_cannot_both_set_the_dtype() -> None:
    levels = {"short": {"dtype": "bfloat16", "enforce_eager": True, "quantization": None}}
    with pytest.raises(InputError, match="candidate.engine sets dtype, and so does the suite's factor"):
        check_placement(Placement(candidate={"dtype": "float16"}), levels)


def test_an_adapter_and_its_base_take_no_turns(loop: Any, tiny: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path, seed=0)
    with pytest.raises(InputError, match="an adapter shares the engine of its base"):
        loop.run(
            open_engines(
                tiny, adapter, tiny, max_model_len=256, top_k=5, tool_format="hermes", placement=Placement("turns")
            )
        )
