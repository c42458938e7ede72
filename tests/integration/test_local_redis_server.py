"""The embedded server: one for each folder, and never mistaken for another that answers on its port."""

from pathlib import Path

import pytest
import redis

from bridge.local import redis_server
from bridge.local.redis_server import EmbeddedServer, ServerError


def test_two_servers_never_write_to_one_folder(tmp_path: Path) -> None:
    with EmbeddedServer(folder=tmp_path, password="first") as first:
        with pytest.raises(ServerError, match=f"A server has its data in {tmp_path} already"):
            EmbeddedServer(folder=tmp_path, password="second").start()
        with redis.Redis.from_url(first.url) as client:
            client.set("kept", "yes")
    with EmbeddedServer(folder=tmp_path) as again, redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"yes"


def test_another_server_that_was_faster_on_its_port_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EmbeddedServer(folder=tmp_path / "other") as other:
        monkeypatch.setattr(redis_server, "is_taken", lambda port: False)
        with pytest.raises(ServerError, match="did not start"):
            EmbeddedServer(port=other.port, folder=tmp_path / "own").start()


def test_a_server_that_was_killed_leaves_its_folder_to_the_next(tmp_path: Path) -> None:
    server = EmbeddedServer(folder=tmp_path).start()
    server.kill()
    with EmbeddedServer(folder=tmp_path):
        pass
