"""Ten thousand connections that pipeline, stop half-way or vanish leave a gateway as it was before them."""

import random
import resource
import socket
import struct
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from bridge.model.bounds import READERS_MAX, REQUESTS_UNFINISHED_MAX
from tests.support.gateway import COMMAND, UVICORN, gateway_process
from tests.support.slow import ask, read_until, request
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

CONNECTIONS = 10_000
AT_ONCE = 200
FLOODS_MAX = 8
ORDINARY = 50
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
GROWS_MAX = 15 * 2**20
BESIDE_MAX = 100
"""Files of a gateway besides its unfinished requests: to Redis, to others, and what is being accepted or closed."""
HELD_GROWS_MAX = 64 * 2**20
"""What as many unfinished requests take as there may be at once, of 500 bytes each."""
GONE_WITHIN_S = 60.0
"""A half-sent request that nobody closes is waited for, for 10 s."""

Sent = Callable[[random.Random], bytes]


def _pipelined(dice: random.Random) -> bytes:
    stream = request(uuid4())
    return dice.choice([stream + HEALTH, stream + stream, HEALTH + stream, HEALTH * 3])


def _half_sent(dice: random.Random) -> bytes:
    stream = request(uuid4())
    return stream[: dice.randrange(len(stream))]


def _whole(_dice: random.Random) -> bytes:
    return request(uuid4())


def _any(dice: random.Random) -> bytes:
    return dice.choice([_pipelined, _half_sent, _whole])(dice)


@pytest.mark.parametrize(
    ("sent", "resets"),
    [(_pipelined, 0.5), (_half_sent, 0.5), (_whole, 1.0), (_any, 0.5)],
    ids=["pipelined", "half-sent", "reset", "mixed"],
)
def test_a_flood_leaves_the_memory_of_before(
    sent: Sent, resets: float, redis_url: str, tmp_path: Path, dice: random.Random
) -> None:
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": redis_url}, COMMAND) as (process, url):
        _serve_some(url)
        before = _figures(url, process)
        with _asking_meanwhile(url) as answers:
            _flood(url, dice, sent, resets)
        after = _figures(url, process)
        print(f"{before[0] / 2**20:.0f} MiB before, {after[0] / 2**20:.0f} MiB after; {len(answers)} others answered")
        assert after[0] - before[0] < GROWS_MAX
        assert after[1] - before[1] <= READERS_MAX
        assert answers and set(answers) == {200}
    _assert_calm_log(tmp_path)


def test_half_sent_requests_that_stay_open_have_so_many_places_and_no_more(
    redis_url: str, tmp_path: Path, dice: random.Random, many_files: None
) -> None:
    held: deque[socket.socket] = deque()
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": redis_url}, COMMAND) as (process, url):
        _serve_some(url)
        before = _figures(url, process)
        port, grown, most = httpx.URL(url).port or 0, 0, 0
        with _asking_meanwhile(url) as answers:
            for number in range(CONNECTIONS):
                held.append(ask(port, _half_sent(dice)))
                if len(held) > 2 * REQUESTS_UNFINISHED_MAX:
                    held.popleft().close()  # long crowded out
                if number % 1_000 == 999:
                    grown = max(grown, psutil.Process(process.pid).memory_info().rss - before[0])
                    most = max(most, psutil.Process(process.pid).num_fds() - before[1])
        crowded_out = _metric(url, "bridge_gateway_process_requests_crowded_out_total")
        after = _figures(url, process)
        print(
            f"{most} connections at once, {crowded_out} crowded out, {grown / 2**20:.0f} MiB grown meanwhile, "
            f"{(after[0] - before[0]) / 2**20:.0f} MiB at the end; {len(answers)} others answered"
        )
        assert most <= REQUESTS_UNFINISHED_MAX + BESIDE_MAX
        assert crowded_out > 0
        assert grown < HELD_GROWS_MAX
        assert after[1] - before[1] <= READERS_MAX
        assert answers and set(answers) == {200}
    for one in held:
        one.close()
    _assert_calm_log(tmp_path)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for twice as many connections as may be unfinished."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * REQUESTS_UNFINISHED_MAX)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_under_uvicorn_alone_floods_come_to_an_end_of_taking_more(
    redis_url: str, tmp_path: Path, dice: random.Random
) -> None:
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": redis_url}, UVICORN) as (process, url):
        # It accepts 2,048 at a time, and Python's allocator keeps what the largest crowd took: chance says how large.
        figures = [_figures(url, process)]
        while len(figures) < 3 or figures[-1][0] - figures[-2][0] >= GROWS_MAX:
            assert len(figures) < FLOODS_MAX, f"each takes more: {figures}"
            _flood(url, dice, _any, 0.5)
            figures.append(_figures(url, process))
        print(f"{[round(bytes_ / 2**20) for bytes_, _ in figures]} MiB")
        assert figures[-1][1] - figures[-2][1] <= READERS_MAX
    _assert_calm_log(tmp_path)


def _serve_some(url: str) -> None:
    """Ordinary clients, so that what is loaded and connected at the first request is there."""
    port = httpx.URL(url).port or 0
    crowd = [ask(port, request(uuid4())) for _ in range(ORDINARY)]
    for one in crowd:
        read_until(one, b": live\n")
        one.close()


def _flood(url: str, dice: random.Random, sent: Sent, resets: float) -> None:
    port = httpx.URL(url).port or 0
    for _ in range(CONNECTIONS // AT_ONCE):
        crowd = [ask(port, sent(dice)) for _ in range(AT_ONCE)]
        for one in crowd:
            if dice.random() < resets:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


@contextmanager
def _asking_meanwhile(url: str) -> Iterator[list[int]]:
    """Somebody else's requests, one after another; what they were answered."""
    answers: list[int] = []
    done = threading.Event()

    def ask_on() -> None:
        while not done.is_set():
            answers.append(httpx.get(url + "/health/live", timeout=PROCESS_TIMEOUT_S).status_code)

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        yield answers
    finally:
        done.set()
        asking.join()


def _metric(url: str, name: str) -> float:
    lines = httpx.get(url + "/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))


def _figures(url: str, process: "subprocess.Popen[bytes]") -> tuple[int, int]:
    """Resident bytes, and open files (some to Redis, up to READERS_MAX), once all clients have left."""
    watched, port = psutil.Process(process.pid), httpx.URL(url).port

    wait_until(
        lambda: (
            not [one for one in watched.net_connections() if one.laddr.port == port and one.raddr]
            and httpx.get(url + "/health/ready").json()["clients"] == 0
        ),
        timeout_s=GONE_WITHIN_S,
        what="every stream and connection has ended",
    )
    return watched.memory_info().rss, watched.num_fds()


def _assert_calm_log(folder: Path) -> None:
    log = next(folder.glob("gateway-*.log")).read_text()
    assert "Traceback" not in log and "ERROR" not in log
