"""Withdrawn rights: open streams end on every gateway, also on one that had lost Redis; old tokens stay out."""

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import pytest

import bridge
from bridge.catalogs.finance import REGISTRY
from bridge.operations import end_streams
from bridge.redis_adapter import OperationsLog, connect
from bridge.settings import Settings
from bridge.wiring import open_store
from tests.support.gateway import EVENTS_PATH, gateway_process
from tests.support.processes import run_cli
from tests.support.proxy import Proxy
from tests.support.streams import token
from tests.support.waiting import PATIENCE, PROCESS_TIMEOUT_S, wait_until

WITHIN_S = 1.0
"""From the word to the end of the last stream."""


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url)


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(redis_url).port or 0, random.Random(7)) as proxy:
        yield proxy


@pytest.fixture
def gateways(redis_url: str, proxy: Proxy, tmp_path: Path) -> Iterator[list[str]]:
    """Two processes; the second reaches Redis through the proxy."""
    behind = redis_url.replace(f":{urlsplit(redis_url).port}", f":{proxy.port}")
    with ExitStack() as stack:
        yield [
            stack.enter_context(gateway_process(tmp_path, {"BRIDGE_BROKER_URL": url}))[1] for url in (redis_url, behind)
        ]


class Open:
    """One stream, and whether it has ended."""

    def __init__(self, client: httpx.Client, url: str, shown: str) -> None:
        self._stream = client.stream("GET", url + EVENTS_PATH, headers={"Authorization": f"Bearer {shown}"})
        self.answer = self._stream.__enter__().raise_for_status()
        self._parts = self.answer.iter_raw()
        self._read = b""
        while b": live" not in self._read:
            self._read += next(self._parts)

    def until_ended(self) -> float:
        """When it ended, by the monotonic clock."""
        for _ in self._parts:
            pass
        self._stream.__exit__(None, None, None)
        return time.monotonic()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=PROCESS_TIMEOUT_S) as client:
        yield client


def is_ready(url: str) -> bool:
    return httpx.get(url + "/health/ready").status_code == 200


def test_a_users_streams_end_on_every_gateway_and_its_old_token_opens_no_more(
    settings: Settings, gateways: list[str], client: httpx.Client
) -> None:
    user, other = uuid4(), uuid4()
    old = token(user, iat=int(time.time()))
    streams = [Open(client, url, old) for url in gateways]
    bystander = Open(client, gateways[0], token(other))
    said_at = time.monotonic()
    done = run_cli(
        "disconnect", "--user", str(user), "--reason", "account closed", "--json",
        environment={"BRIDGE_BROKER_URL": settings.broker_url},
    )  # fmt: skip
    assert json.loads(done.stdout) == {"disconnected": f"user:{user}", "gateways": 2}
    assert max(stream.until_ended() for stream in streams) - said_at < PROCESS_TIMEOUT_S
    for url in gateways:
        answer = client.get(url + EVENTS_PATH, headers={"Authorization": f"Bearer {old}"})
        assert answer.status_code == 401 and "withdrawn" in answer.json()["detail"]
        Open(client, url, token(user, iat=time.time())).answer.close()
        counted = client.get(url + "/metrics").text
        assert "bridge_gateway_process_rights_withdrawn_total 1.0" in counted
    assert not bystander.answer.is_closed
    bystander.answer.close()
    with connect(settings) as redis_client:
        (entry,) = OperationsLog(redis_client).newest()
    assert (entry.action, entry.selection, entry.reason) == ("disconnect", f"user:{user}", "account closed")
    assert entry.who and entry.numbers == {"gateways": 2}


def test_streams_alone_end_and_the_token_opens_the_next_one_without_a_word_in_the_log(
    settings: Settings, gateways: list[str], client: httpx.Client
) -> None:
    user = uuid4()
    old = token(user, iat=int(time.time()))
    streams = [Open(client, url, old) for url in gateways]
    with open_store(settings) as store:
        assert end_streams(store, REGISTRY, user) == 2
        assert max(stream.until_ended() for stream in streams)
        for url in gateways:
            Open(client, url, old).answer.close()
        assert list(store.log.newest()) == []
    with connect(settings) as redis_client:
        assert redis_client.exists("sse:withdrawals") == 0


def test_it_takes_less_than_a_second_also_behind_a_line_that_was_down(
    settings: Settings, gateways: list[str], proxy: Proxy, client: httpx.Client
) -> None:
    user = uuid4()
    near, far = (Open(client, url, token(user, sid="browser")) for url in gateways)
    others = [Open(client, url, token(user, sid="phone")) for url in gateways]
    proxy.refuse()
    wait_until(lambda: not is_ready(gateways[1]), what="the second has lost Redis")
    said_at = time.monotonic()
    assert bridge.disconnect(session="browser", settings=settings, registry=REGISTRY) == 1
    assert near.until_ended() - said_at < WITHIN_S * PATIENCE
    proxy.heal()
    wait_until(lambda: is_ready(gateways[1]), what="the second has Redis again")
    back_at = time.monotonic()
    assert far.until_ended() - back_at < WITHIN_S * PATIENCE
    answer = client.get(gateways[1] + EVENTS_PATH, headers={"Authorization": f"Bearer {token(user, sid='browser')}"})
    assert answer.status_code == 401
    for other in others:
        assert not other.answer.is_closed
        other.answer.close()


def test_a_stream_that_opens_while_its_gateway_has_no_redis_ends_before_it_is_sent_anything(
    settings: Settings, gateways: list[str], proxy: Proxy, client: httpx.Client
) -> None:
    user = uuid4()
    shown = {"Authorization": f"Bearer {token(user)}"}
    proxy.refuse()
    wait_until(lambda: not is_ready(gateways[1]), what="the second has lost Redis")
    with client.stream("GET", gateways[1] + EVENTS_PATH, headers=shown) as answer:
        assert answer.status_code == 200
        bridge.disconnect(user, settings=settings, registry=REGISTRY)
        proxy.heal()
        assert b"id:" not in b"".join(answer.iter_raw())


WRONG: list[tuple[str, Callable[[], object]]] = [
    ("must be a UUID, not int", lambda: bridge.disconnect(7, registry=REGISTRY)),
    ("So says the catalog .*BRIDGE_REGISTRY", lambda: bridge.disconnect(7)),
    ("Say who", lambda: bridge.disconnect(registry=REGISTRY)),
    ("Say who", lambda: bridge.disconnect(UUID(int=1), session="one", registry=REGISTRY)),
    ("not empty", lambda: bridge.disconnect(session="", registry=REGISTRY)),
    ("more than 1000 characters", lambda: bridge.disconnect(session="x" * 1_001, registry=REGISTRY)),
]


@pytest.mark.parametrize(("sentence", "act"), WRONG)
def test_a_mistake_is_one_sentence(
    sentence: str, act: Callable[[], object], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRIDGE_BROKER_URL", redis_url)
    with pytest.raises(bridge.BridgeError, match=sentence):
        act()


async def test_the_event_loop_goes_on_meanwhile(settings: Settings) -> None:
    assert await bridge.disconnect_async(uuid4(), settings=settings, registry=REGISTRY) == 0
