"""Serves the dashboards over a folder of runs: on this machine alone, or with a token beyond it."""

import importlib.util
import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

from diffbehav.errors import InfrastructureError, InputError

_PACKAGE = Path(__file__).resolve().parent
LEAST_TOKEN = 16
THREADS = 4


def serve(folder: Path, *, host: str, port: int, token: str | None, on_ready: Callable[[str], None]) -> None:
    """Answer until interrupted; `on_ready` gets the address to open. Any host but loopback needs a token."""
    import waitress

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a run folder or a folder of runs")
    if not _is_loopback(host) and (token is None or len(token) < LEAST_TOKEN):
        raise InputError(
            f"--host {host} is more than this machine, and the pages show what models wrote: give --token with at "
            f"least {LEAST_TOKEN} characters"
        )
    app = _dashboards().create_app(folder, hosts=_names(host), token=token)
    try:
        server = waitress.create_server(app.server, host=host, port=port, threads=THREADS, ident=None)
    except OSError as error:
        raise InfrastructureError(
            f"{host}:{port} cannot be listened on ({error.strerror}); choose another --port"
        ) from error
    shown = f"[{host}]" if ":" in host else host
    on_ready(f"http://{shown}:{server.effective_port}/" + (f"?token={quote(token)}" if token else ""))
    server.run()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names(host: str) -> tuple[str, ...]:
    """The host names that requests may be for."""
    return ("127.0.0.1", "localhost", "::1", *(() if _is_loopback(host) else (host,)))


def _dashboards() -> ModuleType:
    """The application of a source checkout or of an installation, under the name `dashboards`."""
    folder = next(
        path for path in (_PACKAGE.parent / "dashboards", _PACKAGE / "_dashboards") if (path / "app.py").is_file()
    )
    spec = importlib.util.spec_from_file_location(
        "dashboards", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["dashboards"] = package
    spec.loader.exec_module(package)
    return importlib.import_module("dashboards.app")
