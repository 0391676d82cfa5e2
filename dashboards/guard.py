"""What every answer of the server obeys: known hosts, a token beyond this machine, and a strict content policy."""

import hmac
from collections.abc import Sequence

from flask import Flask, Response, abort, redirect, request

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "diffbehav_token"


def guard(server: Flask, *, hosts: Sequence[str], token: str | None, script_hashes: Sequence[str]) -> None:
    """Refuse requests for other hosts (DNS rebinding) and, with a `token`, those without it; set the headers."""
    policy = (
        f"default-src 'none'; script-src 'self' {' '.join(script_hashes)}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )

    @server.before_request
    def check() -> Response | None:
        if _host_name(request.host) not in hosts:
            abort(403, f"this server does not answer to the host name {_host_name(request.host)!r}")
        return None if token is None else _check_token(token)

    @server.after_request
    def add_headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        if not request.path.startswith(("/assets/", "/_dash-component-suites/")):
            response.headers["Cache-Control"] = "no-store"
        return response


def _check_token(token: str) -> Response | None:
    """The token comes once in the address, `?token=...`, and then as a cookie."""
    given = request.args.get("token")
    if given is not None and hmac.compare_digest(given.encode(), token.encode()):
        response = redirect(request.path)
        response.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
        return response  # type: ignore[return-value]
    if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), token.encode()):
        abort(401, "open the address with ?token=... as the command printed it")
    return None


def _host_name(host: str) -> str:
    """The name of a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
