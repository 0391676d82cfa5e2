"""Where the suites and policies that come with the package are."""

from pathlib import Path

from diffbehav.errors import InputError

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(name: str) -> Path:
    """The file of the shipped suite `name`, in a source checkout or in an installation."""
    return _found(name, "suite", "*.yaml")


def shipped_policy(name: str) -> Path:
    """The file of the shipped policy `name`."""
    return _found(name, "policy", "policies/*.yaml")


def _found(name: str, noun: str, pattern: str) -> Path:
    folders = [folder for folder in (_PACKAGE.parent / "suites", _PACKAGE / "_suites") if folder.is_dir()]
    found = {path.stem: path for folder in reversed(folders) for path in sorted(folder.glob(pattern))}
    if name not in found:
        raise InputError(
            f"no shipped {noun} is called {name!r}; there are {', '.join(sorted(found)) or 'none'}"
        )
    return found[name]
