"""Which files of a model folder hold its weights."""

from pathlib import Path

from diffbehav.errors import InputError
from diffbehav.intake.json_file import read_json
from diffbehav.intake.regular import check_regular

CONSOLIDATED = "consolidated*.safetensors"
CONSOLIDATED_WHY = (
    "weights in Mistral's format, and vLLM by itself loads it in place of the other weights of the folder, with "
    "params.json in place of config.json. Remove it, so that what is examined is what is served"
)


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that an engine loads: those of the index, without one all there are."""
    present = sorted(folder.glob("*.safetensors"))
    for path in present:
        check_regular(path)
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return present
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise InputError(f"{index}: has no weight_map. Copy the file again from its source.")
    declared = set(map(str, weight_map.values()))
    missing = sorted(declared - {path.name for path in present})
    if missing:
        names = ", ".join(map(repr, missing[:8]))
        raise InputError(f"{index}: declares {names}, which the folder lacks. Download again.")
    return [path for path in present if path.name in declared]


def refuse_consolidated(folder: Path) -> None:
    """InputError where a folder has a second set of weights that other servers would prefer."""
    for path in sorted(folder.glob(CONSOLIDATED)):
        raise InputError(f"{path}: {CONSOLIDATED_WHY}.")
