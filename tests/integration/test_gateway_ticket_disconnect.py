"""A user who is disconnected while a ticket is being issued gets none that is worth anything, on any gateway."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import redis

import bridge
from bridge.model.registry import Registry, Topic
from bridge.settings import Settings
from tests.support import identities
from tests.support.gateway import EVENTS_PATH
from tests.support.identities import numbers
from tests.support.streams import Served
from tests.support.waiting import PROCESS_TIMEOUT_S

TICKET = f"{EVENTS_PATH}/ticket?topics=order:42"
SHOWN = {"X-User": "7"}


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=PROCESS_TIMEOUT_S) as client:
        yield client


def served(settings: Settings, meanwhile: Callable[[], object]) -> Served:
    """A gateway whose application does something while it is asked about a topic, and says yes."""

    def may_hear(_principal: object, _order_id: object) -> bool:
        meanwhile()
        return True

    registry = Registry(
        event_types=numbers.event_types,
        categories=numbers.categories,
        events=numbers.events,
        user_id=int,
        topics=[Topic("order", int, may_hear=may_hear)],
    )
    return Served(settings, registry=registry, authenticator=identities.of_numbers)


async def test_a_user_who_is_disconnected_while_a_rule_is_asked_gets_no_ticket(
    settings: Settings, client: httpx.AsyncClient
) -> None:
    def end() -> None:
        bridge.disconnect(7, settings=settings, registry=numbers)

    with served(settings, end) as gateway:
        answer = await client.post(gateway.url + TICKET, headers=SHOWN)
        assert answer.status_code == 401 and "withdrawn" in answer.json()["detail"]
        assert gateway.state.counters.tickets_issued == 0


async def test_a_ticket_counts_as_issued_when_it_was_asked_who_is_asking(
    settings: Settings, client: httpx.AsyncClient, redis_client: redis.Redis
) -> None:
    moments: list[int] = []

    def now_ms() -> int:
        seconds, micros = redis_client.time()  # type: ignore[misc]
        return int(seconds) * 1000 + int(micros) // 1000

    def take_time() -> None:
        moments.append(now_ms())
        while now_ms() < moments[0] + 20:
            pass

    with served(settings, take_time) as gateway:
        assert (await client.post(gateway.url + TICKET, headers=SHOWN)).status_code == 201
        (key,) = redis_client.keys("sse:ticket:*")  # type: ignore[misc]
        issued_ms = int(str(redis_client.get(key)).partition(" ")[0])
        assert issued_ms <= moments[0], "whoever is disconnected at that moment has no ticket that is younger"
