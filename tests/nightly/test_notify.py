"""Who is told, over real sockets and processes."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from diffbehav.nightly.notify import night_message, tell
from diffbehav.suite import Notify

ROW = {
    "fingerprint": "f" * 64, "state": "new", "status": "CONFIRMED", "severity": "high", "kind": "text",
    "rule": {"user": ["<!channel> @all [x](https://evil.example)\n::error::\u202e"]}, "beside": [], "reason": "",
}  # fmt: skip
NIGHT = {
    "suite": "toy@1", "date": "2026-11-01", "result": "divergent", "exit_code": 10, "changes": ["new findings: 1"],
    "findings": [ROW, ROW | {"state": "accepted"}],
}  # fmt: skip


class Hook(HTTPServer):
    """Answers with these codes in turn, and keeps what it was sent."""

    def __init__(self, codes: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.codes, self.got = codes, list[Any]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/secret-token"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # noqa: N802  named by the library
        assert isinstance(self.server, Hook)
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.codes.pop(0))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def hook(request: pytest.FixtureRequest) -> Iterator[Hook]:
    with Hook(list(request.param)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("hook", [[500, 429, 204]], indirect=True)
def test_a_webhook_is_tried_three_times(hook: Hook) -> None:
    assert tell(NIGHT, [Notify(webhook=hook.url)]) == [{"to": "webhook 127.0.0.1", "error": None}]
    assert hook.got == [NIGHT] * 3


@pytest.mark.parametrize("hook", [[302, 302, 302]], indirect=True)
def test_a_webhook_that_sends_elsewhere_is_not_followed(hook: Hook) -> None:
    assert tell(NIGHT, [Notify(webhook=hook.url)])[0]["error"] == "answered 302"


def test_places_that_cannot_be_told_are_named_without_their_secret_and_keep_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hook([]) as gone:
        url = gone.url
    monkeypatch.setenv("HOOK", url)
    file = tmp_path / "got.json"
    write = f"import sys; open({str(file)!r}, 'w').write(sys.stdin.read())"
    places = [
        Notify(webhook=url), Notify(webhook_env="HOOK"), Notify(webhook_env="NO_SUCH_HOOK"),
        Notify(command=["/no/such/program"]), Notify(command=[sys.executable, "-c", "raise SystemExit(3)"]),
        Notify(command=[sys.executable, "-c", write, "; rm -rf $HOME"]),
    ]  # fmt: skip
    told = tell(NIGHT, places)
    assert [each["error"] for each in told] == [
        "ConnectError", "ConnectError", "the environment has no NO_SUCH_HOOK",
        "cannot be run: No such file or directory", "ended with 3", None,
    ]  # fmt: skip
    assert "secret-token" not in str(told)
    assert json.loads(file.read_text(encoding="utf-8")) == NIGHT


def test_a_command_may_print_any_bytes_and_end_without_reading_its_message() -> None:
    noise = "import sys; sys.{}.buffer.write(bytes(range(256)))"
    places = [Notify(command=[sys.executable, "-c", noise.format(stream)]) for stream in ("stdout", "stderr")]
    message = NIGHT | {"text": "\u00e9" * 200_000}
    assert [each["error"] for each in tell(message, places)] == [None, None]


@pytest.mark.parametrize(
    "address",
    ["http://[::1/hook", "https://[secret-token]/", "http://a:b:c/", "http://a..b/", "http://127.0.0.1/\udcffsecret-token"],
)
def test_an_address_that_is_none_is_an_error_of_its_place_alone(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HOOK", address)
    places = [Notify(webhook_env="HOOK"), Notify(command=["echo", "\0"]), Notify(command=["true"])]
    told = tell(NIGHT, places)
    assert ["its address is none" in (each["error"] or "") for each in told] == [True, False, False]
    assert told[1]["error"] and told[2]["error"] is None
    assert "secret-token" not in str(told)


def test_a_message_has_counts_rules_and_a_path_and_no_markup_of_a_level() -> None:
    message = night_message(NIGHT, Path("runs/2026-11-01"), None)
    assert message["counts"] == {"new": 1, "persisting": 0, "resolved": 0, "accepted": 1, "undecided": 0}
    assert message["report"] == "runs/2026-11-01/report/report.html"
    assert message["text"].endswith("divergent; new findings: 1; 1 new, 1 accepted")
    assert message["link"] is None
    linked = night_message(NIGHT, Path("runs/2026-11-01"), "https://ci.example/{date}/report.html")
    assert linked["link"] == "https://ci.example/2026-11-01/report.html"
    assert linked["text"] == f"{message['text']}; {linked['link']}"
    (finding,) = message["findings"]
    for live in ("<!channel>", "@all", "https://", "\n", "\u202e", "[x]"):
        assert live not in finding["rule"]
