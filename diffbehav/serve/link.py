"""Requests to a model server: sent again while it is unwell, fewer while it is full, ended with a reason."""

import asyncio
import itertools
import json
import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from diffbehav import untrusted
from diffbehav.errors import DiffbehavError, InfrastructureError, InputError
from diffbehav.serve.window import Window

Value = TypeVar("Value")
RESUMES = "see to the server and repeat the same command, which goes on from what is stored"
_AGAIN = {408, 425, 429, *range(500, 505)}
_FULL = {429, 503}
_CONNECT_SECONDS = 10.0
_AT_FIRST, AT_MOST = 32, 128
"""Requests at once; a vLLM server runs 128 or 256 in a batch unless it is told otherwise."""
_LONGEST_WAIT = 120.0
"""Seconds that a Retry-After is followed for."""
_SHOWN = 300
_TOLD_EVERY = 60.0
"""Seconds."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is borne with."""

    attempts: int = 12
    """For one request. The pauses between them last two and a half to five minutes: a server can be started again."""
    useless: int = 3
    """Of these, time-outs and answers that were not what was asked for."""
    pause: float = 0.5
    """Seconds before the second attempt; twice as long before each further one, half of it at random."""
    longest_pause: float = 60.0
    timeout: float = 300.0
    """Seconds for one answer, from sending the request to its last byte."""


class Unusable(Exception):
    """An answer that is not what was asked for; the message is our own and quotes nothing."""


class _Unwell(Exception):
    """The server gave no answer; `wait` is how many seconds it asks for."""

    def __init__(self, what: str, *, full: bool = False, wait: float = 0.0) -> None:
        super().__init__(what)
        self.full = full
        self.wait = wait


class Secret:
    """An API key that cannot be printed, and that is cut out of what a server says."""

    def __init__(self, value: str | None, *, variable: str) -> None:
        """InputError where `value`, of the environment `variable`, cannot be a key. The message has no part of it."""
        if value is not None and not re.fullmatch(r"[!-~]+", value):
            raise InputError(f"{variable} is empty or holds a blank, a line break or another character no key has")
        self._value = value
        self.variable = variable

    @property
    def headers(self) -> Mapping[str, str]:
        """What a request carries."""
        return {} if self._value is None else {"Authorization": f"Bearer {self._value}"}

    def cut_from(self, text: str) -> str:
        """`text` of a server on one short line, without the key."""
        line = " ".join((text if self._value is None else text.replace(self._value, "[key]")).split())
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


class Link:
    """One server; every request is one that can be repeated."""

    def __init__(self, url: str, secret: Secret, *, patience: Patience) -> None:
        self._url = url
        self._secret = secret
        self._patience = patience
        self._silent_until = 0.0
        self._window = Window(first=_AT_FIRST, most=AT_MOST)
        self._client = httpx.AsyncClient(
            headers=secret.headers, timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=AT_MOST), trust_env=not is_local(url),
        )  # fmt: skip

    async def ask(
        self, path: str, body: Mapping[str, Any], read: Callable[[Any], Value], *, most_bytes: int
    ) -> Value:
        """What `read` makes of the JSON answer to a POST; it raises Unusable where that is not what was asked for.

        InfrastructureError when patience ends, InputError for what no repetition would change.
        """
        useless = 0
        for attempt in itertools.count(1):
            try:
                return await self._attempt(path, body, read, most_bytes)
            except (_Unwell, Unusable, TimeoutError) as trouble:
                useless += not isinstance(trouble, _Unwell)
                what = self._named(trouble)
                wait = trouble.wait if isinstance(trouble, _Unwell) else 0.0
            if attempt >= self._patience.attempts or useless >= self._patience.useless:
                raise InfrastructureError(f"{self._url}: {what}, in the last of {attempt} attempts; {RESUMES}.")
            self._tell(what)
            await asyncio.sleep(max(wait, self._pause(attempt)))
        raise AssertionError("attempts end")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _attempt(
        self, path: str, body: Mapping[str, Any], read: Callable[[Any], Value], most_bytes: int
    ) -> Value:
        entered = await self._window.enter()
        try:
            async with asyncio.timeout(self._patience.timeout):
                value = self._read(read, await self._bytes(path, body, most_bytes))
        except (_Unwell, TimeoutError) as trouble:
            if isinstance(trouble, TimeoutError) or trouble.full:
                self._window.refused(entered, wait=getattr(trouble, "wait", 0.0))
            raise
        finally:
            await self._window.leave()
        self._window.answered()
        return value

    def _read(self, read: Callable[[Any], Value], content: bytes) -> Value:
        try:
            return read(decoded(content))
        except DiffbehavError as error:
            raise type(error)(f"{self._url}: {error}") from error

    async def _bytes(self, path: str, body: Mapping[str, Any], most_bytes: int) -> bytes:
        content = bytearray()
        try:
            async with self._client.stream("POST", f"{self._url}/{path}", json=body) as response:
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > most_bytes:
                        raise Unusable(f"the answer is longer than {most_bytes:,} bytes")
        except httpx.TimeoutException as error:
            raise _Unwell("it does not answer a connection") from error
        except httpx.HTTPError as error:
            raise _Unwell(self._broken(error)) from error
        if response.status_code in _AGAIN:
            raise _Unwell(
                f"HTTP {response.status_code}", full=response.status_code in _FULL, wait=_retry_after(response)
            )
        if response.status_code != httpx.codes.OK:
            raise refusal(response.status_code, bytes(content), self._secret, at=self._url)
        return bytes(content)

    def _broken(self, error: httpx.HTTPError) -> str:
        return self._secret.cut_from(f"the connection failed ({type(error).__name__}: {error})")

    def _named(self, trouble: Exception) -> str:
        if isinstance(trouble, TimeoutError):
            return f"no whole answer within {self._patience.timeout:g} s"
        return str(trouble)

    def _tell(self, what: str) -> None:
        """One line now and then: many requests fail together."""
        now = time.monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _TOLD_EVERY
            _log.warning("%s", untrusted.terminal(f"{self._url}: {what}; asking again"))

    def _pause(self, attempt: int) -> float:
        whole = min(self._patience.longest_pause, self._patience.pause * 2.0 ** (attempt - 1))
        # Requests that failed together must not come back together.
        return whole * (0.5 + 0.5 * random.random())


def is_local(url: str) -> bool:
    """Whether the host of `url` is this machine, which no proxy leads to."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def decoded(content: bytes) -> Any:
    """JSON; Unusable where it is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unusable("the answer is no JSON") from error


def refusal(status: int, content: bytes, secret: Secret, *, at: str) -> InputError:
    """Why a server refuses what it would refuse again."""
    if status in (401, 403):
        return InputError(f"{at}: HTTP {status}: the server wants another API key; set {secret.variable}")
    if 300 <= status < 400:
        return InputError(f"{at}: HTTP {status}: the server is elsewhere now; give the address it leads to")
    return InputError(f"{at}: HTTP {status}: the server refuses the request: {secret.cut_from(_message(content))}")


def _message(content: bytes) -> str:
    try:
        found = decoded(content)
    except Unusable:
        return content[: 4 * _SHOWN].decode("utf-8", "replace")
    error = found.get("error", found) if isinstance(found, dict) else found
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _retry_after(response: httpx.Response) -> float:
    """Seconds; 0 where none are given."""
    value = response.headers.get("retry-after", "")
    return min(float(value), _LONGEST_WAIT) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value) else 0.0
