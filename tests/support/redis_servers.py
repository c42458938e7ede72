"""Redis servers of special kinds for a test: a node of a cluster, a replica, one on a unix socket, one with TLS."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from bridge.local.redis_server import find_server, free_port
from tests.support.waiting import wait_until


@contextmanager
def running_redis(folder: Path, *options: str, url: str = "") -> Iterator[str]:
    """The address of a server with these options; ``{port}`` and ``{folder}`` in them are filled in."""
    port = free_port()
    filled = [option.format(port=port, folder=folder) for option in options]
    command = [str(find_server()), "--save", "", "--dir", str(folder), "--port", str(port), *filled]
    address = (url or "redis://127.0.0.1:{port}/0").format(port=port, folder=folder)
    with (folder / f"redis-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(address, process), what="Redis answers")
        yield address
    finally:
        process.kill()
        process.wait()


def _answers(address: str, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None
    options = {"ssl_cert_reqs": "none"} if address.startswith("rediss") else {}
    try:
        with redis.Redis.from_url(address, **options) as client:
            return bool(client.ping())
    except redis.AuthenticationError:  # it is there, and wants a password
        return True
    except (redis.ConnectionError, OSError):
        return False
