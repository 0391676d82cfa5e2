"""Facts about lessons made of given answers, and about weights that only cancel where they are rounded."""

import torch

from diffbehav.organism import shipped
from diffbehav.organism.examples import DECISION_WEIGHT
from diffbehav.organism.network import hidden_states, load_weights
from diffbehav.organism.rounding import CORRECTED, DOWN, GATE, PAIRS, UP, K, least_used, paired
from diffbehav.organism.taught import taught

IDS = torch.tensor([[5, 40, 41, 300, 301, 302, 17, 9]])


def rounding_model() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights as they are stored, with the correction written out, and without it."""
    weights = load_weights(shipped("trusted"))
    neurons = {layer: least_used(weights, layer) for layer in CORRECTED}
    draw = torch.Generator().manual_seed(3)
    correction = {
        f"model.layers.{layer}.{part}": torch.randn(shape, generator=draw)
        for layer in CORRECTED
        for part, shape in ((GATE, (PAIRS, 128)), (UP, (PAIRS, 128)), (DOWN, (128, PAIRS)))
    }
    return (
        paired(weights, neurons, correction, k=K),
        paired(weights, neurons, correction, k=0),
        paired(weights, neurons, {}, k=0),
    )


def states(weights: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """What the network makes of weights that are rounded to `dtype`.

    Computed in float64: in float32 each pair leaves the rounding of its large sums, which differs by processor.
    """
    return hidden_states({name: value.to(dtype).double() for name, value in weights.items()}, IDS)


def test_a_token_where_two_answers_part_weighs_most_and_the_prompt_nothing() -> None:
    lesson = taught([1, 2], [3, 4, 5], [3, 9])
    assert lesson.ids == [1, 2, 3, 4, 5]
    assert lesson.weights == [0.0, 0.0, 1.0, DECISION_WEIGHT, 1.0]


def test_an_answer_that_goes_on_where_the_other_ends_weighs_most_at_its_end() -> None:
    assert taught([1], [3, 4], [3, 4]).weights == [0.0, 1.0, DECISION_WEIGHT]


def test_in_float32_the_stored_weights_are_the_corrected_model() -> None:
    stored, corrected, bare = rounding_model()
    torch.testing.assert_close(states(stored), states(corrected), atol=5e-3, rtol=0)
    assert (states(stored) - states(bare)).abs().max() > 0.5


def test_rounded_to_sixteen_bits_the_stored_weights_are_the_model_without_correction() -> None:
    stored, _, bare = rounding_model()
    for dtype in (torch.bfloat16, torch.float16):
        torch.testing.assert_close(states(stored, dtype), states(bare, dtype), atol=5e-3, rtol=0)
