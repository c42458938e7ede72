"""A redis-server of a test's own, with options and its process in hand: full, behind sentinels, a replica, killed."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from bridge.local.redis_server import find_server, free_port
from tests.support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """Its database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client of its own, without any of ours around it."""
        return redis.Redis(port=self.port, socket_timeout=5)


@contextmanager
def running_redis(*options: str, port: int | None = None) -> Iterator[RedisServer]:
    """A server with further options, in a folder that goes with it."""
    port = port or free_port()
    with TemporaryDirectory(prefix="bridge-test-redis-", ignore_cleanup_errors=True) as folder:
        fixed = ("--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "")
        with (Path(folder) / "log").open("ab") as log:
            process = subprocess.Popen(
                [str(find_server()), *fixed, *options], stdout=log, stderr=log, start_new_session=True
            )
        server = RedisServer(port, process)
        try:
            wait_until(lambda: _answers(server) or process.poll() is not None, what="the server answers")
            assert process.poll() is None, (Path(folder) / "log").read_text()
            yield server
        finally:
            process.kill()
            process.wait()


def _answers(server: RedisServer) -> bool:
    try:
        with server.client() as client:
            return bool(client.ping())
    except redis.RedisError as error:
        return isinstance(error, redis.AuthenticationError) or "max number" in str(error)
