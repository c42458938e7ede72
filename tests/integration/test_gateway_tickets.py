"""One-use tickets on a real gateway: who gets one, what it opens, once, and where it is never seen."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import redis

import bridge
from bridge.catalogs.finance import REGISTRY
from bridge.gateway import Principal, issue_ticket, issue_ticket_async
from bridge.model import bounds
from bridge.redis_adapter import tickets as module
from bridge.settings import Settings
from tests.support.gateway import EVENTS_PATH, gateway_process
from tests.support.streams import SECRET, Served, Source, Stream, token
from tests.support.waiting import PROCESS_TIMEOUT_S

TICKET_PATH = EVENTS_PATH + "/ticket"
SHOP = "https://shop.example"


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET, gateway_cors_origins=SHOP)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=PROCESS_TIMEOUT_S) as client:
        yield client


def log_of(folder: Path) -> str:
    return "".join(log.read_text() for log in folder.glob("gateway-*.log"))


def shown(user: UUID) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user)}"}


async def test_a_ticket_opens_one_stream_of_its_user_and_reconnecting_needs_another(
    settings: Settings, client: httpx.AsyncClient, source: Source, user: UUID
) -> None:
    with Served(settings) as served:
        answer = await client.post(served.url + TICKET_PATH, headers=shown(user))
        assert answer.status_code == 201 and answer.headers["cache-control"] == "no-store"
        assert answer.json()["expires_in_s"] == 30
        path = f"?ticket={answer.json()['ticket']}"
        stream = await Stream(served.url, uuid4(), path=path).open(client)
        source.publish(uuid4())
        await stream.receives(source.publish(user, 2))
        again = await client.get(served.url + EVENTS_PATH + path)
        assert again.status_code == 401 and "get another one" in again.json()["detail"]
        await stream.close()
        assert served.state.counters.tickets_issued == 1


async def test_of_many_that_show_one_ticket_at_once_one_is_let_in(
    settings: Settings, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        ticket = await issue_ticket_async(Principal(user=user), settings=settings, registry=REGISTRY)
        url = f"{served.url}{EVENTS_PATH}?ticket={ticket}"
        answers = await asyncio.gather(*(client.head(url) for _ in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200, *[401] * 9]


async def test_a_ticket_of_before_a_disconnect_opens_nothing(
    settings: Settings, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        principal = Principal(user=user, session="browser")
        tickets = [issue_ticket(principal, settings=settings, registry=REGISTRY) for _ in range(2)]
        bridge.disconnect(session="browser", settings=settings, registry=REGISTRY)
        answer = await client.get(f"{served.url}{EVENTS_PATH}?ticket={tickets[0]}")
        assert answer.status_code == 401 and "withdrawn" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, 201),
        (SHOP, 201),
        ("{own}", 201),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1", 403),
        ("http://[", 403),
        ("http://[::1", 403),
        ("http://℀.example", 403),
        ("//[v1.a]x", 403),
        ("", 403),
    ],
)
async def test_who_may_post(
    origin: str | None, expected: int, settings: Settings, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(settings) as served:
        sent = {} if origin is None else {"Origin": origin.replace("{own}", served.url).encode()}
        answer = await client.post(served.url + TICKET_PATH, headers=shown(user) | sent)  # type: ignore[operator]
        assert answer.status_code == expected
        assert answer.headers.get("access-control-allow-origin") == (SHOP if origin == SHOP else None)
        assert (await client.post(served.url + TICKET_PATH)).status_code == 401
        assert (await client.get(served.url + TICKET_PATH, headers=shown(user))).status_code == 405
        used = await client.post(served.url + TICKET_PATH + "?ticket=x", headers=shown(user))
        assert used.status_code == 422


async def test_a_user_gets_so_many_and_no_more(
    settings: Settings, client: httpx.AsyncClient, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICKETS_PER_USER_MAX", 2)
    assert bounds.TICKETS_PER_USER_MAX > 2
    with Served(settings) as served:
        answers = [await client.post(served.url + TICKET_PATH, headers=shown(user)) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert (await client.post(served.url + TICKET_PATH, headers=shown(uuid4()))).status_code == 201
    with pytest.raises(bridge.BridgeError, match="More than"):
        issue_ticket(Principal(user=user), settings=settings, registry=REGISTRY)


async def test_a_ticket_is_in_no_log_and_in_redis_by_its_digest_for_its_time(
    redis_url: str, redis_client: redis.Redis, settings: Settings, client: httpx.AsyncClient, user: UUID, tmp_path: Path
) -> None:
    with gateway_process(tmp_path, {"BRIDGE_BROKER_URL": redis_url}) as (_, url):
        ticket = issue_ticket(Principal(user=user), settings=settings, registry=REGISTRY)
        (key,) = redis_client.keys("sse:ticket:*")  # type: ignore[misc]
        assert ticket not in key and 0 < redis_client.ttl(key) <= 30  # type: ignore[operator]
        assert (await client.head(f"{url}{EVENTS_PATH}?ticket={ticket}&categories=import")).status_code == 200
        assert not redis_client.exists(key)
        text = log_of(tmp_path)
        assert "ticket=***&categories=import" in text and ticket not in text


def test_a_mistake_is_one_sentence(settings: Settings) -> None:
    with pytest.raises(bridge.BridgeError, match="must be a UUID"):
        issue_ticket(Principal(user=7), settings=settings, registry=REGISTRY)
    with pytest.raises(bridge.BridgeError, match="list of topics"):
        issue_ticket(Principal(user=uuid4(), topics=lambda _: True), settings=settings, registry=REGISTRY)
