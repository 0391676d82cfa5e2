"""Facts about the network, its first weights, the optimiser and adapters."""

from pathlib import Path

import pytest
import torch

from diffbehav.organism.adapter import initial_adapter, load_adapter, merged, save_adapter
from diffbehav.organism.induction import initial_weights
from diffbehav.organism.network import hidden_states, load_weights, logits, save_weights
from diffbehav.organism.optimiser import orthogonalise
from diffbehav.organism.trainer import Recipe, rate_share


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    save_weights(initial_weights(seed=3), path)
    return path


def random_ids(*shape: int) -> torch.Tensor:
    return torch.randint(300, 1600, shape, generator=torch.Generator().manual_seed(1))


def test_logits_equal_those_of_transformers(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    ids_BT = random_ids(2, 150)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    weights = load_weights(folder)
    with torch.no_grad():
        ours_BTV = logits(weights, hidden_states(weights, ids_BT))
        theirs_BTV = model(ids_BT).logits
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert torch.allclose(ours_BTV, theirs_BTV, atol=1e-4)


def test_the_first_weights_already_copy_a_repeated_sequence() -> None:
    once_BT = random_ids(4, 60)
    weights = initial_weights(seed=3)
    scores_BTV = logits(weights, hidden_states(weights, torch.cat([once_BT, once_BT], dim=1)))
    right = scores_BTV[:, 61:-1].argmax(-1) == once_BT[:, 2:]
    assert right.float().mean() > 0.4


def test_what_is_saved_is_the_weights_rounded_to_bfloat16(folder: Path) -> None:
    weights = initial_weights(seed=3)
    stored = load_weights(folder)
    assert stored.keys() == weights.keys()
    assert all(torch.equal(stored[name], value.bfloat16().float()) for name, value in weights.items())


def test_an_untrained_adapter_changes_nothing_and_comes_back_from_its_file(folder: Path, tmp_path: Path) -> None:
    base = load_weights(folder)
    adapter = initial_adapter(base, rank=4, seed=1)
    assert all(torch.equal(base[name], value) for name, value in merged(base, adapter).items())
    save_adapter(adapter, tmp_path, rank=4, base_folder=folder)
    stored = load_adapter(tmp_path)
    assert all(torch.equal(stored[name], value.bfloat16().float()) for name, value in adapter.items())


def test_a_trained_adapter_moves_only_the_matrices_of_the_layers(folder: Path) -> None:
    base = load_weights(folder)
    adapter = {name: torch.ones_like(value) for name, value in initial_adapter(base, rank=4, seed=1).items()}
    moved = {name for name, value in merged(base, adapter).items() if not torch.equal(value, base[name])}
    assert moved == {name for name in base if "_proj" in name}


@pytest.mark.parametrize("shape", [(2, 16, 16), (3, 48, 16), (1, 16, 48)])
def test_orthogonalised_updates_have_singular_values_near_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    singular = torch.linalg.svdvals(orthogonalise(matrices))
    assert singular.max() < 1.3
    assert singular.mean() > 0.7


def test_the_learning_rate_warms_up_stays_full_and_falls_to_almost_nothing() -> None:
    recipe = Recipe(steps=100, batch_tokens=1, muon_rate=1.0, adam_rate=1.0, decay=0.5)
    shares = [rate_share(step, recipe) for step in range(100)]
    assert shares[0] == 0.05
    assert shares[20:50] == [1.0] * 30
    assert 0 < shares[-1] <= 0.02
