"""Settling with a store that is full, away, restarted or holds something else; and how long what it keeps lives."""

import itertools
import json
from typing import cast
from uuid import UUID

import pytest
import redis

from bridge import User
from bridge.local.redis_server import EmbeddedServer
from bridge.model.errors import StoreUnavailableError
from bridge.model.position import Position
from bridge.model.publishing import ReceiptStatus
from bridge.redis_adapter import connect
from bridge.settings import Settings
from tests.support import keys
from tests.support.addressed_events import direct, waiting
from tests.support.counts import Counts
from tests.support.settling import OTHER, USER, Settler, addressed, an_event, entries, read_all, several
from tests.support.waiting import WAIT_S


@pytest.fixture
def settler(client: redis.Redis, settings: Settings) -> Settler:
    return Settler(client, settings)


# In order


def assert_strictly_increasing(positions: list[str | None]) -> None:
    places = [Position(position) for position in positions if position]
    assert len(places) == len(positions)
    assert all(one < next_one for one, next_one in itertools.pairwise(places))


# For as long as promised


def test_a_stream_is_trimmed_to_about_its_length(redis_url: str, redis_client: redis.Redis) -> None:
    settings = Settings(broker_url=redis_url, stream_maxlen=150)
    with connect(settings) as client:
        Settler(client, settings).settle(direct(several(1000)))
    kept = entries(redis_client)
    assert 150 <= len(kept) <= 250
    assert json.loads(kept[-1][1]["data"]) == {"number": 999}


def test_every_write_renews_the_life_of_the_stream(
    settler: Settler, redis_client: redis.Redis, settings: Settings
) -> None:
    for user in (USER, None):
        stream = keys.BROADCAST_STREAM if user is None else keys.stream(User(user))
        settler.settle(direct(several(1, user)))
        redis_client.expire(stream, 5)
        settler.settle(direct(several(1, user)))
        assert settings.stream_ttl_s - 5 <= cast("int", redis_client.ttl(stream)) <= settings.stream_ttl_s


def test_a_seen_mark_lives_as_long_as_the_settings_say(
    settler: Settler, redis_client: redis.Redis, settings: Settings
) -> None:
    event = an_event()
    settler.settle(direct([addressed(event)]))
    life_s = cast("int", redis_client.ttl(keys.seen(User(USER), event.event_id)))
    assert settings.seen_life_s - 5 <= life_s <= settings.seen_life_s
    assert life_s > settings.stream_ttl_s


def test_without_retention_events_are_published_once_and_no_stream_is_kept(
    redis_url: str, redis_client: redis.Redis
) -> None:
    settings = Settings(broker_url=redis_url, stream_ttl_s=0)
    batch = [*several(3), *several(2, None)]
    with connect(settings) as client, redis_client.pubsub() as subscriber:
        subscriber.psubscribe("*")
        receipts = Settler(client, settings).settle(direct(batch))
        again = Settler(client, settings).settle(direct(batch))
        messages = read_all(subscriber, 5)
        assert subscriber.get_message(timeout=0.05) is None
    assert_strictly_increasing([receipt.position for receipt in receipts])
    assert [json.loads(message)["position"] for message in messages] == [receipt.position for receipt in receipts]
    assert {receipt.status for receipt in again} == {ReceiptStatus.DUPLICATE}
    assert redis_client.keys("sse:stream:*") == []


# Faults


@pytest.mark.parametrize("spoiled", ["stream", "mark"])
def test_keys_that_hold_something_else_refuse_only_their_own_events(
    settler: Settler, redis_client: redis.Redis, spoiled: str
) -> None:
    bad = an_event(OTHER)
    redis_client.rpush(keys.stream(User(OTHER)) if spoiled == "stream" else keys.seen(User(OTHER), bad.event_id), "x")
    receipts = settler.settle(direct([*several(2), addressed(bad, OTHER), *several(2), *several(1, None)]))
    assert [receipt.status for receipt in receipts] == [ReceiptStatus.PUBLISHED] * 2 + [ReceiptStatus.REFUSED] + [
        ReceiptStatus.PUBLISHED
    ] * 3
    assert "WRONGTYPE" in (receipts[2].error or "")
    assert not receipts[2].ok
    assert_strictly_increasing([receipt.position for receipt in receipts if receipt.ok])
    if spoiled == "stream":
        assert not redis_client.exists(keys.seen(User(OTHER), bad.event_id))
        redis_client.delete(keys.stream(User(OTHER)))
        assert settler.settle(direct([addressed(bad, OTHER)]))[0].status is ReceiptStatus.PUBLISHED


def test_nothing_is_heard_of_what_no_stream_took(settler: Settler, redis_client: redis.Redis) -> None:
    """Published before it was appended it would be heard at each attempt, and at a position where nothing stands."""
    redis_client.rpush(keys.stream(User(OTHER)), "x")
    with redis_client.pubsub() as subscription:
        subscription.subscribe(keys.channel(User(OTHER)))
        assert subscription.get_message(timeout=WAIT_S)["type"] == "subscribe"
        settler.settle(direct([addressed(an_event(OTHER), OTHER)]))
        redis_client.publish(keys.channel(User(OTHER)), "the next")
        assert subscription.get_message(timeout=WAIT_S)["data"] == "the next"


def test_a_script_that_the_server_forgot_is_loaded_again(settler: Settler, redis_client: redis.Redis) -> None:
    settler.settle(direct(several(1)))
    redis_client.script_flush()
    assert settler.settle(direct(several(1)))[0].status is ReceiptStatus.PUBLISHED


@pytest.mark.parametrize("stream_ttl_s", [3600, 0], ids=["retention", "no retention"])
def test_a_full_server_refuses_the_batch_whole_and_takes_it_later(stream_ttl_s: int) -> None:
    with EmbeddedServer() as server:
        settings = Settings(broker_url=server.url, stream_ttl_s=stream_ttl_s)
        with connect(settings) as client:
            settler, batch = Settler(client, settings), [*several(50), *several(5, None)]
            settler.settle(direct(several(1)))
            before = sorted(client.keys())
            client.config_set("maxmemory", "100kb")
            with pytest.raises(StoreUnavailableError, match="maxmemory"):
                settler.settle(direct(batch))
            assert sorted(client.keys()) == before
            client.config_set("maxmemory", "0")
            receipts = settler.settle(direct(batch))
            assert {receipt.status for receipt in receipts} == {ReceiptStatus.PUBLISHED}
            assert Counts(client).read()["published"] == 56


def test_a_server_that_is_away_is_an_error_and_comes_back() -> None:
    with EmbeddedServer() as server:
        settings = Settings(broker_url=server.url)
        with connect(settings) as client:
            settler, batch = Settler(client, settings), several(3)
            first = settler.settle(direct(batch))
            server.kill()
            with pytest.raises(StoreUnavailableError, match="Redis did not take the command"):
                settler.settle(direct(batch))
            server.start()
            again = settler.settle(direct([*batch, *several(1)]))
    assert [receipt.position for receipt in again[:3]] == [receipt.position for receipt in first]
    assert again[3].status is ReceiptStatus.PUBLISHED


def test_a_seen_mark_outlives_the_most_patient_mapping(client: redis.Redis, settings: Settings) -> None:
    event = an_event()
    Settler(client, settings, longest_retry_s=settings.longest_retry_s + 86_400).settle(direct([addressed(event)]))
    life_s = client.ttl(keys.seen(User(USER), event.event_id))
    assert life_s > settings.seen_life_s + 86_000


def test_an_event_leaves_the_retry_set_in_the_step_that_publishes_it(client: redis.Redis, settler: Settler) -> None:
    events = [an_event(number=number) for number in range(2)]
    for event in events:
        client.hset(keys.RETRY_RECORDS, str(event.event_id), "1:{}")
        client.zadd(keys.RETRY_DUE, {str(event.event_id): 1})
    settler.settle(waiting([addressed(events[0])]))
    assert client.zcard(keys.RETRY_DUE) == client.hlen(keys.RETRY_RECORDS) == 1
    settler.settle(waiting([addressed(events[0]), addressed(events[1])]))
    assert not client.exists(keys.RETRY_DUE, keys.RETRY_RECORDS)


def test_a_user_with_one_event_takes_little_room(settler: Settler, client: redis.Redis) -> None:
    def used_bytes() -> int:
        return int(client.info("memory")["used_memory"])  # type: ignore[index]

    users = [UUID(int=number) for number in range(1, 2001)]
    settler.settle(direct(several(1)))
    before = used_bytes()
    settler.settle(direct([addressed(an_event(user_id=user), user) for user in users]))
    assert (used_bytes() - before) / len(users) < 2_500  # stream and seen mark; 4.9 KB with Redis' own settings
