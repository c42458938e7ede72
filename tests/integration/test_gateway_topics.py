"""Topics over HTTP and Redis: who may hear them, each event once, and that a right that is withdrawn ends a stream."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from uuid import UUID, uuid4

import httpx
import pytest

from bridge import Registry, Topic
from bridge.catalogs.finance import REGISTRY
from bridge.gateway import Principal
from bridge.model.registry import EVERYONE, User
from bridge.settings import Settings
from tests.support.streams import EVENTS_PATH, SECRET, Served, Source, Stream, closing, token, until
from tests.support.waiting import PROCESS_TIMEOUT_S


class Members:
    """Who may hear which order, by an application's own table; whether it can be asked."""

    def __init__(self) -> None:
        self.orders: set[tuple[UUID, int]] = set()
        self.trouble = False

    def may_hear(self, principal: Principal, key: int) -> bool:
        if self.trouble:
            raise LookupError("the table is away")
        return (principal.user, key) in self.orders


ORDER, NEWS = Topic("order", int), Topic("news")


@pytest.fixture
def members(user: UUID) -> Members:
    members = Members()
    members.orders = {(user, 42), (user, 43)}
    return members


@pytest.fixture
def registry(members: Members) -> Registry:
    return Registry(
        event_types=REGISTRY.event_types,
        categories=REGISTRY.categories,
        events=REGISTRY.events,
        topics=[Topic("order", int, may_hear=members.may_hear), NEWS],
    )


@pytest.fixture
def settings(redis_url: str) -> Settings:
    return Settings(broker_url=redis_url, jwt_secret=SECRET)


@pytest.fixture
def served(settings: Settings, registry: Registry) -> Iterator[Served]:
    with Served(settings, registry=registry) as served:
        yield served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=httpx.Timeout(PROCESS_TIMEOUT_S), limits=limits) as client:
        yield client


async def test_a_stream_hears_its_topics_its_user_and_everyone_each_event_once_and_in_order(
    served: Served, source: Source, client: httpx.AsyncClient, user: UUID
) -> None:
    mine = await Stream(served.url, user, path="?topics=order:42,order:43").open(client)
    one_topic = await Stream(served.url, user, path="?topics=order:43").open(client)
    plain = await Stream(served.url, user).open(client)
    both = source.publish(None, 3, told=(User(user), ORDER(42), ORDER(43)))
    first = source.publish(None, 2, told=(ORDER(42),))
    everybody = source.publish(None, 2, told=(ORDER(43), EVERYONE, User(user)))
    source.publish(None, 2, told=(ORDER(44), User(uuid4())))
    last = source.publish(None, 1, told=(ORDER(43), ORDER(42)))
    await mine.receives([*both, *first, *everybody, *last])
    await one_topic.receives([*both, *everybody, *last])
    await plain.receives([*both, *everybody])
    assert served.state.counters.topics_opened == 2
    again = await Stream(served.url, user, path="?topics=order:42", last_event_id=both[1]).open(client)
    assert again.ids == [both[2], *first, *everybody, *last]
    with_more = await Stream(served.url, user, path="?topics=order:43&topics=order:42", last_event_id=last[0]).open(
        client
    )
    assert (with_more.ids, with_more.resets) == ([], [])
    await closing(mine, one_topic, plain, again, with_more)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("topics=invoice:1", 422, "there is no topic 'invoice' in this registry"),
        ("topics=order:abc", 422, "must be a whole number"),
        ("topics=" + ",".join(f"order:{n}" for n in range(33)), 422, "32 for one stream at most, not 33"),
        ("topic=order:42", 422, "did you mean 'topics'?"),
        ("topics=order:42&topics=order:7", 403, "You may not hear order:7."),
        ("topics=news:today", 403, "You may not hear news:today."),
    ],
)
async def test_what_is_no_topic_or_not_allowed_is_refused_before_any_byte_of_a_stream(
    served: Served, client: httpx.AsyncClient, user: UUID, query: str, status: int, said: str
) -> None:
    headers = {"Authorization": f"Bearer {token(user)}", "Accept": "text/event-stream"}
    for method in ("GET", "HEAD"):
        response = await client.request(method, f"{served.url}{EVENTS_PATH}?{query}", headers=headers)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert method == "HEAD" or said in response.json()["detail"]
    counters = served.state.counters
    assert (counters.topics_unknown, counters.topics_forbidden) == (
        2 * (status == 422 and query.startswith("topics")),
        2 * (status == 403),
    )
    assert (counters.requests_refused, counters.streams_opened) == (2, 0)


async def test_a_rule_in_trouble_opens_nothing_and_is_told_as_what_passes(
    served: Served, client: httpx.AsyncClient, user: UUID, members: Members
) -> None:
    members.trouble = True
    url, headers = f"{served.url}{EVENTS_PATH}?topics=order:42", {"Authorization": f"Bearer {token(user)}"}
    response = await client.get(url, headers=headers)
    assert (response.status_code, response.headers["retry-after"]) == (503, "10")
    assert "Whether you may hear order:42 cannot be found out now" in response.json()["detail"]
    response = await client.get(url, headers={**headers, "Accept": "text/event-stream"})
    assert response.status_code == 200
    assert response.text.startswith(": Whether you may hear") and "retry: 10000" in response.text
    assert served.state.counters.topic_rule_failures == 2
    assert "the table is away" not in response.text


async def test_a_right_that_is_withdrawn_ends_the_stream_which_is_judged_anew_when_it_comes_back(
    settings: Settings, registry: Registry, source: Source, client: httpx.AsyncClient, user: UUID, members: Members
) -> None:
    hasty = dataclasses.replace(settings, gateway_topics_recheck_s=1.0)
    with Served(hasty, registry=registry) as served:
        stream = await Stream(served.url, user, path="?topics=order:42").open(client)
        other = await Stream(served.url, user, path="?topics=order:43").open(client)
        seen = source.publish(None, told=(ORDER(42),))
        await stream.receives(seen)
        members.orders.discard((user, 42))
        await until(lambda: stream.ended)
        source.publish(None, told=(ORDER(42),))
        back = await Stream(served.url, user, path="?topics=order:42", last_event_id=seen[0]).open(client, live=False)
        assert back.response is not None and back.response.status_code == 403
        without = await Stream(served.url, user, last_event_id=seen[0]).open(client)
        assert without.ids == [] and without.resets
        checks = served.state.counters.topics_rechecked
        await until(lambda: served.state.counters.topics_rechecked > checks)
        assert not other.ended and served.state.counters.topics_withdrawn == 1
        await closing(stream, other, back, without)


async def test_a_table_that_is_away_for_long_ends_streams_which_come_back_when_it_is_there(
    settings: Settings, registry: Registry, client: httpx.AsyncClient, user: UUID, members: Members
) -> None:
    hasty = dataclasses.replace(settings, gateway_topics_recheck_s=0.2)
    with Served(hasty, registry=registry) as served:
        stream = await Stream(served.url, user, path="?topics=order:42").open(client)
        plain = await Stream(served.url, user).open(client)
        members.trouble = True
        await until(lambda: served.state.counters.topic_rule_failures >= 1)
        await until(lambda: stream.ended)
        assert served.state.counters.topics_unconfirmed == 1 and not plain.ended
        members.trouble = False
        again = await Stream(served.url, user, path="?topics=order:42").open(client)
        await closing(stream, plain, again)


async def test_in_development_rules_are_asked_and_without_one_every_topic_is_heard(
    settings: Settings, registry: Registry, source: Source, client: httpx.AsyncClient, user: UUID
) -> None:
    with Served(dataclasses.replace(settings, jwt_secret="", gateway_dev=True), registry=registry) as served:
        path = f"?user_id={user}&topics="
        stream = await Stream(served.url, user, path=f"{path}news:today&topics=order:42").open(client)
        await stream.receives(source.publish(None, told=(NEWS("today"), ORDER(42))))
        refused = await Stream(served.url, user, path=f"{path}order:7").open(client, live=False)
        assert refused.response is not None and refused.response.status_code == 403
        await closing(stream, refused)


async def test_open_streams_are_counted_by_topic(served: Served, client: httpx.AsyncClient, user: UUID) -> None:
    both = await Stream(served.url, user, path="?topics=order:42,order:43").open(client)
    plain = await Stream(served.url, user).open(client)
    metrics = (await client.get(f"{served.url}/metrics")).text
    assert 'bridge_gateway_process_topic_streams{topic="order"} 1.0' in metrics
    assert "bridge_gateway_process_topics_opened_total 1.0" in metrics
    await closing(both)
    await until(lambda: not served.state.rechecks.streams_by_topic())
    await closing(plain)
