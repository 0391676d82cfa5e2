"""Joins a Ray cluster, or starts one on this machine that ends with this process."""

import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from diffbehav.errors import InputError

LOCAL = "local"
"""The address of a cluster of this machine alone, started for the purpose."""
THIS_MACHINES = "auto"
"""The address of the cluster that this machine belongs to."""
_INSTALL = 'Ray is not installed: pip install "diffbehav[ray]", on every machine of the cluster'
_NAME = "name host:port of its head (the port is 6379 unless it was started with another), `auto` or `local`"
_ANSWERS_WITHIN = 5.0
"""Seconds."""
_STORE_BYTES = 100 << 20
"""Answers pass through the object store one by one, and parts not at all."""
_LOOPBACK = "127.0.0.1"


def join(address: str, *, workers: int | None) -> bool:
    """Make this process a driver of the cluster at `address`; False where it was one already.

    InputError where nothing answers there, or what answers is no Ray of this version.
    """
    _check_answers(address)
    # Ray reads these when it is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL and "ray" not in sys.modules:
        # Some of its services listen on every address of the machine and run what is sent to them, with this key. Left
        # to itself, Ray writes one into the home folder, for all users to read.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError as error:
        raise InputError(f"address {address}: {_INSTALL}") from error
    if ray.is_initialized():
        return False
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with _own_signals():
        if address == LOCAL:
            ray.init(
                address=LOCAL, num_cpus=max(workers or 1, os.cpu_count() or 1), include_dashboard=False,
                object_store_memory=_STORE_BYTES, _node_ip_address=_LOOPBACK, **quiet,
            )  # fmt: skip
            return True
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"address {address}: no Ray cluster can be joined there: {error}\n  fix: run this on a machine of the "
                f"cluster, with the Ray and the Python of its head; {_NAME}"
            ) from error
    return True


def leave() -> None:
    """End what `join` began, the cluster included where it is this process's own."""
    import ray

    ray.shutdown()


def _check_answers(address: str) -> None:
    """InputError within seconds where nothing listens; Ray itself would try for minutes."""
    if address in (LOCAL, THIS_MACHINES):
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and "/" not in host):
        raise InputError(f"address {address!r} is none of a Ray cluster: {_NAME}")
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN) as connection:
            web = _is_web_server(connection)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"address {address}: nothing answers there ({error})\n  fix: start the head with `ray start --head`, or "
            f"{_NAME}"
        ) from error
    if web:
        raise InputError(f"address {address}: what answers there is a web server and no Ray; {_NAME}")


def _is_web_server(connection: socket.socket) -> bool:
    """Whether it answers as the dashboard of a cluster or a server of models does; Ray itself answers otherwise."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: ray\r\n\r\n")
    try:
        return connection.recv(7) == b"HTTP/1."
    except TimeoutError:
        return False


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and who called may have given it a meaning."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
