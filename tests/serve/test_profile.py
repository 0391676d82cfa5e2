"""Engine arguments follow the machine, the model and the adapter."""

from pathlib import Path

import pytest

from diffbehav.errors import InputError
from diffbehav.serve.profile import engine_arguments
from tests.serve.conftest import write_adapter


def arguments(folder: Path, *, adapter: Path | None = None, length: int = 256, gpu: bool = False) -> dict[str, object]:
    adapters = () if adapter is None else (adapter,)
    return engine_arguments(folder, adapters=adapters, max_model_len=length, top_k=20, engines=2, gpu=gpu)


def test_a_cpu_batch_and_its_cache_hold_any_prompt(tiny: Path) -> None:
    # 2 layers of keys and values, 64 numbers of 4 bytes each.
    per_token = 2 * 2 * 64 * 4
    assert arguments(tiny)["kv_cache_memory_bytes"] == 256 << 20
    long = arguments(tiny, length=1 << 20)
    assert long["kv_cache_memory_bytes"] == 4 * (1 << 20) * per_token
    assert long["max_num_batched_tokens"] == 1 << 20


def test_two_engines_share_one_gpu(tiny: Path) -> None:
    assert arguments(tiny, gpu=True)["gpu_memory_utilization"] == 0.45


def test_vllm_reads_the_files_that_are_digested_whatever_else_the_folder_holds(tiny: Path) -> None:
    told = arguments(tiny)
    assert (told["load_format"], told["config_format"], told["tokenizer_mode"]) == ("safetensors", "hf", "hf")


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (4, 8), (33, 64)])
def test_the_served_rank_is_the_next_that_vllm_knows(tiny: Path, tmp_path: Path, rank: int, served: int) -> None:
    with_adapter = arguments(tiny, adapter=write_adapter(tmp_path, seed=0, rank=rank))
    assert with_adapter["max_lora_rank"] == served
    assert with_adapter["max_loras"] == 2


def test_a_rank_above_what_vllm_serves_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rank 513 is above 512"):
        arguments(tiny, adapter=write_adapter(tmp_path, seed=0, rank=513))
