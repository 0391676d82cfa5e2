"""Model folders: what is in them, whether they can be served, whether two of them can be compared."""

from diffbehav.intake.comparability import check_adapter_fits, check_same_tokenizer
from diffbehav.intake.manifest import Adapter, Model, deciding_texts, is_adapter, read_adapter, read_model

__all__ = [
    "Adapter",
    "Model",
    "check_adapter_fits",
    "check_same_tokenizer",
    "deciding_texts",
    "is_adapter",
    "read_adapter",
    "read_model",
]
