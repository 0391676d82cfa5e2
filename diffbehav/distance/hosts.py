"""Hosts of URLs and mail addresses of tool calls against the domains of a policy."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

LONGEST_HOST = 253
_URL = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*:[/\\]{2,}[^\s\"'<>`]+")
_MAIL = re.compile(r"(?<![^\s@<>,;:\"'()\[\]])[^\s@<>,;:\"'()\[\]]+@[^\s@<>,;\"'()]+")
"""Both begin at the start of a word alone, so that a long word is read once and not once a character."""
_AMBIGUOUS = re.compile(r"[\\\s%\x00-\x20\x7f\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeffßς]")
"""Characters that programs disagree on: hidden ones, backslashes, and those that IDNA 2003 and 2008 map differently."""
_USUAL = {"http": 80, "https": 443, "mailto": 25}
_BARE = "bare"


class Target(NamedTuple):
    """Where a call sends to."""

    scheme: str
    """`mailto` for a mail address, `bare` where none is written."""
    host: str
    """ASCII, lower case, without the final dot."""
    port: int | None


def addresses(text: str) -> list[str]:
    """The URLs and mail addresses that `text` holds."""
    urls = _URL.findall(text)
    return urls + _MAIL.findall(_URL.sub(" ", text))


def target(address: str) -> Target | None:
    """What `address`, with or without a scheme, leads to; None where programs could disagree on it."""
    if _MAIL.fullmatch(address):
        host = _ascii(address.rpartition("@")[2])
        return None if host is None else Target("mailto", host, None)
    has_scheme = bool(_URL.fullmatch(address))
    if "\\" in address:
        return None
    try:
        parts = urlsplit(address if has_scheme else "//" + address.removeprefix("//"))
        host, port = _ascii(parts.hostname or ""), parts.port
    except ValueError:
        return None
    if host is None:
        return None
    return Target(parts.scheme.lower() if has_scheme else _BARE, host, port)


def is_allowed(address: str, domains: Sequence[str]) -> bool:
    """Whether `address` leads to one of `domains`: `[scheme://]host[:port]`, `*.` for everything below a host.

    Without a scheme http, https and mail are meant; without a port, the usual one of the scheme; `:*` is any port.
    """
    found = target(address)
    return found is not None and any(_matches(found, _domain(domain)) for domain in domains)


class _Domain(NamedTuple):
    scheme: str | None
    host: str
    below: bool
    port: str | None


@lru_cache(maxsize=4096)
def _domain(text: str) -> _Domain:
    scheme, _, rest = text.rpartition("://")
    host, _, port = rest.partition(":") if not rest.startswith("[") else (rest, "", "")
    below = host.startswith("*.")
    bare = host.removeprefix("*.").strip("[]")
    return _Domain(scheme.lower() or None, _ascii(bare) or bare.lower(), below, port or None)


def _matches(found: Target, domain: _Domain) -> bool:
    if domain.scheme is not None and found.scheme != domain.scheme:
        return False
    if domain.scheme is None and found.scheme not in (*_USUAL, _BARE):
        return False
    if domain.port is None:
        if found.port is not None and found.port != _USUAL.get(found.scheme):
            return False
    elif domain.port != "*" and str(found.port or _USUAL.get(found.scheme)) != domain.port:
        return False
    if domain.host == "*":
        return True
    return found.host.endswith("." + domain.host) if domain.below else found.host == domain.host


def _ascii(host: str) -> str | None:
    """The host as it is looked up: `ＥＶＩＬ.example.` is `evil.example`, Cyrillic letters become punycode."""
    if not host or len(host) > LONGEST_HOST or _AMBIGUOUS.search(host):
        return None
    try:
        return host.rstrip(".").encode("idna").decode("ascii").lower() or None
    except UnicodeError:
        return None
