"""Ten thousand connections that pipeline, stop half-way or vanish leave a gateway as it was before them."""

import random
import socket
import struct
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.support.gateway import COMMAND, UVICORN, gateway_process
from tests.support.slow import ask, request
from tests.support.waiting import wait_until

CONNECTIONS = 10_000
AT_ONCE = 200
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
GROWS_MAX = 20 * 2**20
GONE_WITHIN_S = 30.0
"""A half-sent request that nobody closes is waited for, for 10 s."""


@pytest.mark.parametrize("argv", [COMMAND, UVICORN], ids=["command", "uvicorn"])
def test_a_flood_leaves_nothing_behind(
    argv: tuple[str, ...], redis_url: str, tmp_path: Path, dice: random.Random
) -> None:
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": redis_url}, argv) as (process, url):
        port, watched = httpx.URL(url).port or 0, psutil.Process(process.pid)
        # The first takes the memory that so many at once need, and Python's allocator keeps it.
        _flood(port, dice, CONNECTIONS)
        _wait_until_calm(url, watched)
        before = watched.memory_info().rss, watched.num_fds()
        _flood(port, dice, CONNECTIONS)
        _wait_until_calm(url, watched)
        after = watched.memory_info().rss, watched.num_fds()
        print(f"{before[0] / 2**20:.0f} MiB before, {after[0] / 2**20:.0f} MiB after; {before[1]} and {after[1]} files")
        assert after[0] - before[0] < GROWS_MAX
        assert after[1] <= before[1] + 2
    log = next(tmp_path.glob("gateway-*.log")).read_text()
    assert "Traceback" not in log and "ERROR" not in log


def _flood(port: int, dice: random.Random, number: int) -> None:
    for _ in range(number // AT_ONCE):
        crowd = [ask(port, _sent(dice)) for _ in range(AT_ONCE)]
        for one in crowd:
            if dice.random() < 0.5:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


def _sent(dice: random.Random) -> bytes:
    stream = request(uuid4())
    return dice.choice(
        [stream, stream + HEALTH, stream + stream, HEALTH + stream, HEALTH * 3, stream[: dice.randrange(len(stream))]]
    )


def _wait_until_calm(url: str, watched: psutil.Process) -> None:
    port = httpx.URL(url).port
    wait_until(
        lambda: (
            not [one for one in watched.net_connections() if one.laddr.port == port and one.raddr]
            and httpx.get(url + "/health/ready").json()["clients"] == 0
        ),
        timeout_s=GONE_WITHIN_S,
        what="every stream and connection has ended",
    )
