"""Where no Ray cluster can be joined, and what a worker needs of one."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from diffbehav.errors import InputError
from diffbehav.serve.ray_cluster import join
from diffbehav.serve.ray_engines import gpus_of


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Held by somebody who does not listen."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_an_address_at_which_nothing_answers_is_an_error_with_a_remedy(closed_port: int) -> None:
    with pytest.raises(InputError, match=rf"address 127.0.0.1:{closed_port}: nothing answers there.*\n  fix: start"):
        join(f"127.0.0.1:{closed_port}", workers=2)


def test_an_address_of_a_web_server_is_an_error() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        with pytest.raises(InputError, match="what answers there is a web server and no Ray"):
            join(f"127.0.0.1:{server.server_port}", workers=2)
        answering.join()


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:", ":6379", "head:port", ""])
def test_what_is_no_address_of_a_cluster_is_an_error(address: str) -> None:
    with pytest.raises(InputError, match="is none of a Ray cluster: name host:port of its head"):
        join(address, workers=2)


@pytest.mark.parametrize(
    ("side", "gpus"),
    [
        ({}, 1),
        ({"dtype": "bfloat16", "tensor_parallel_size": 2}, 2),
        ({"tensor_parallel_size": 2, "data_parallel_size": 2}, 4),
        ({"device_ids": [2]}, 3),
    ],
)
def test_a_worker_is_given_a_gpu_for_every_rank_and_device(side: dict[str, object], gpus: int) -> None:
    assert gpus_of(side) == gpus
