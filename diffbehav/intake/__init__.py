"""Model folders: what is in them, whether they can be served, whether two of them can be compared."""

from diffbehav.intake.comparability import check_adapter_fits, check_same_tokenizer
from diffbehav.intake.fence import check_comparable, check_current, check_same_model, facts_of
from diffbehav.intake.folder_files import beside_model
from diffbehav.intake.manifest import (
    Adapter,
    Model,
    deciding_files,
    deciding_texts,
    is_adapter,
    read_adapter,
    read_declared,
    read_model,
)

__all__ = [
    "Adapter",
    "Model",
    "beside_model",
    "check_adapter_fits",
    "check_comparable",
    "check_current",
    "check_same_model",
    "check_same_tokenizer",
    "deciding_files",
    "deciding_texts",
    "facts_of",
    "is_adapter",
    "read_adapter",
    "read_declared",
    "read_model",
]
