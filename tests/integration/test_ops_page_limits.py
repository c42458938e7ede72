"""The operators' page under abuse: guesses behind forged addresses, and viewers who hold every stream."""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.ops.sessions import ALL_FREE_FAILURES, FREE_FAILURES
from bridge.ops.stream import SESSION_STREAMS_MAX, STREAMS_MAX, VIEWER_STREAMS_MAX
from tests.support.ops_page import OPERATOR, VIEWER
from tests.support.processes import clean_environment, start
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

BY_COMMAND = [sys.executable, "-m", "bridge.cli", "ops", "--port"]
BY_UVICORN = [sys.executable, "-m", "uvicorn", "bridge.ops:app", "--port"]


@contextmanager
def running_page(server: EmbeddedServer, folder: Path, command: list[str], **environment: str) -> Iterator[str]:
    port = free_port()
    log = folder / f"ops-{port}.log"
    given = {"BRIDGE_BROKER_URL": server.url, "BRIDGE_OPS_TOKEN": OPERATOR, "BRIDGE_OPS_VIEW_TOKEN": VIEWER}
    with log.open("wb") as output:
        process = start([*command, str(port)], clean_environment(given | environment), output)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(url) or process.poll() is not None, what="the page answers")
        assert process.poll() is None, log.read_text()
        yield url
    finally:
        process.terminate()
        process.wait(PROCESS_TIMEOUT_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=5).is_success
    except httpx.TransportError:
        return False


def status_of(client: httpx.Client, token: str, address: str) -> int:
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
    return client.get("/log", headers=headers).status_code


def counted(client: httpx.Client, what: str) -> float:
    found = re.search(rf"^bridge_ops_{what}_refused_total ([\d.]+)$", client.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


@pytest.mark.parametrize(
    ("command", "environment", "free"),
    [
        (BY_COMMAND, {}, FREE_FAILURES),
        (BY_COMMAND, {"FORWARDED_ALLOW_IPS": "127.0.0.1"}, ALL_FREE_FAILURES),
        (BY_UVICORN, {}, ALL_FREE_FAILURES),
    ],
    ids=["command", "command behind a proxy", "uvicorn"],
)
def test_guesses_are_braked_behind_an_address_that_changes_each_time(
    redis_server: EmbeddedServer, tmp_path: Path, command: list[str], environment: dict[str, str], free: int
) -> None:
    with running_page(redis_server, tmp_path, command, **environment) as url, httpx.Client(base_url=url) as client:
        answers = [status_of(client, f"wrong-{number}", f"10.1.0.{number}") for number in range(60)]
        assert answers[:free] == [401] * free
        # On a slow machine one guess a second is looked at; the rest are not.
        assert answers[free:].count(429) >= (60 - free) / 2, answers
        assert counted(client, "tokens") == answers.count(429)


def test_an_address_that_signed_in_is_not_kept_out_by_strangers_guesses(
    redis_server: EmbeddedServer, tmp_path: Path
) -> None:
    with (
        running_page(redis_server, tmp_path, BY_COMMAND, FORWARDED_ALLOW_IPS="127.0.0.1") as url,
        httpx.Client(base_url=url) as client,
    ):
        assert status_of(client, OPERATOR, "192.0.2.7") == 200
        answers = [status_of(client, "wrong", f"10.2.0.{number}") for number in range(60)]
        assert 429 in answers
        assert status_of(client, OPERATOR, "192.0.2.7") == 200


@contextmanager
def signed_in(url: str, token: str) -> Iterator[httpx.Client]:
    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=url, headers=headers, timeout=PROCESS_TIMEOUT_S) as client:
        assert client.post("/login", data={"token": token}).status_code == 303
        yield client


def test_viewers_cannot_hold_the_streams_that_are_kept_for_operators(
    redis_server: EmbeddedServer, tmp_path: Path
) -> None:
    with running_page(redis_server, tmp_path, BY_COMMAND) as url, ExitStack() as held:

        def watch(client: httpx.Client) -> int:
            return held.enter_context(client.stream("GET", "/stream")).status_code

        greedy = held.enter_context(signed_in(url, VIEWER))
        assert [watch(greedy) for _ in range(SESSION_STREAMS_MAX + 2)] == [200] * SESSION_STREAMS_MAX + [503] * 2
        other = [held.enter_context(signed_in(url, VIEWER)) for _ in range(VIEWER_STREAMS_MAX // SESSION_STREAMS_MAX)]
        answers = [watch(client) for client in other for _ in range(SESSION_STREAMS_MAX)]
        assert answers.count(200) == VIEWER_STREAMS_MAX - SESSION_STREAMS_MAX
        assert counted(greedy, "streams") == 2 + answers.count(503)
        operator = held.enter_context(signed_in(url, OPERATOR))
        assert watch(operator) == 200
        assert STREAMS_MAX > VIEWER_STREAMS_MAX


def test_a_place_is_free_again_when_its_stream_is_closed(redis_server: EmbeddedServer, tmp_path: Path) -> None:
    with running_page(redis_server, tmp_path, BY_COMMAND) as url, signed_in(url, VIEWER) as viewer:
        for _ in range(3):
            # A closed stream is noticed at its next frame.
            wait_until(lambda: all_free(viewer), what="all places are free again")


def all_free(client: httpx.Client) -> bool:
    with ExitStack() as held:
        return all(
            held.enter_context(client.stream("GET", "/stream")).status_code == 200 for _ in range(SESSION_STREAMS_MAX)
        )
