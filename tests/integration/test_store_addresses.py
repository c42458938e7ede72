"""Settling events for several addresses and classes of retention: in all of their streams, or in none."""

from typing import Any
from uuid import uuid4

import pytest
import redis

from bridge.model.errors import StoreRefusedError
from bridge.model.publishing import ReceiptStatus
from bridge.model.registry import EVERYONE, Retention, Topic, User
from bridge.redis_adapter import History, Settler, connect, connect_async
from bridge.redis_adapter.settler import BATCH_MAX
from bridge.settings import Settings
from tests.support import keys
from tests.support.keys import UNPREFIXED
from tests.support.telling import OTHER, USER, delivery, event, read_all

ROOM = Topic("room", int)
LAST = 2**64 - 1


@pytest.fixture
def settler(client: redis.Redis, settings: Settings) -> Settler:
    return Settler(client, settings)


def spoil_by_type(client: redis.Redis, key: str) -> None:
    client.set(key, "no stream")


def spoil_by_its_end(client: redis.Redis, key: str) -> None:
    client.xadd(key, {"no": "event"}, id=f"{LAST}-{LAST}")


@pytest.mark.parametrize("spoil", [spoil_by_type, spoil_by_its_end])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_where_one_stream_refuses_nothing_of_the_event_is_written(
    spoil: Any, place: int, settler: Settler, redis_client: redis.Redis
) -> None:
    addresses = (User(USER), ROOM(1), EVERYONE)
    streams = [UNPREFIXED.stream(one) for one in addresses]
    spoil(redis_client, streams[place])
    refused, other = event(None, None, *addresses), event(None, None, ROOM(2), User(OTHER))
    found = settler.prepare([delivery(refused, other)]).unpublished()
    assert {at: receipt.status for at, receipt in found.items()} == {0: ReceiptStatus.REFUSED}
    assert not redis_client.exists(*(stream for stream in streams if stream != streams[place]))
    assert not redis_client.exists(*(UNPREFIXED.seen(one, refused.event.event_id) for one in addresses))
    assert not redis_client.exists(keys.BROADCAST_TIP)
    redis_client.delete(streams[place])
    assert settler.prepare([delivery(refused, other)]).unpublished().keys() == {1}
    entries = [redis_client.xrange(stream) for stream in streams]
    assert [len(found) for found in entries] == [1, 1, 1] and entries[0] == entries[1] == entries[2]


@pytest.mark.parametrize("rules", ["-xinfo ~* &*", "~sse:stream* ~sse:position* ~sse:retentions ~bridge:* %W~sse:* &*"])
def test_without_a_right_no_event_is_refused_for_good(
    rules: str, redis_url: str, redis_client: redis.Redis, settings: Settings
) -> None:
    redis_client.execute_command("ACL", "SETUSER", "short", "reset", "on", ">secret", "+@all", *rules.split())
    one = event(None, None, User(USER), ROOM(1))
    with connect(Settings(broker_url=redis_url.replace("redis://", "redis://short:secret@"))) as client:
        with pytest.raises(StoreRefusedError, match="rights"):
            Settler(client, settings).prepare([delivery(one)]).unpublished()
        redis_client.execute_command("ACL", "SETUSER", "short", "allkeys", "+@all")
        assert not Settler(client, settings).prepare([delivery(one)]).unpublished()
    redis_client.execute_command("ACL", "DELUSER", "short")


def test_one_position_is_behind_whatever_is_in_any_of_its_streams(settler: Settler, redis_client: redis.Redis) -> None:
    far_ahead_ms = 2_000_000_000_000
    redis_client.xadd(UNPREFIXED.stream(ROOM(1)), {"no": "event"}, id=f"{far_ahead_ms}-7")
    redis_client.xadd(UNPREFIXED.stream(ROOM(2)), {"no": "event"}, id=f"{far_ahead_ms + 1}-3")
    assert not settler.prepare([delivery(event(None, None, ROOM(1), ROOM(2), ROOM(3)))]).unpublished()
    positions = {redis_client.xrevrange(UNPREFIXED.stream(ROOM(number)), count=1)[0][0] for number in (1, 2, 3)}
    assert positions == {f"{far_ahead_ms + 1}-4"} == {redis_client.get(keys.POSITION)}


@pytest.mark.parametrize("marked", [0, 1])
def test_a_mark_of_any_address_makes_it_a_duplicate_whatever_else_is_wrong(
    marked: int, settler: Settler, redis_client: redis.Redis
) -> None:
    addresses = (ROOM(1), ROOM(2))
    one = event(None, None, *addresses)
    redis_client.set(UNPREFIXED.seen(addresses[marked], one.event.event_id), "17-3")
    redis_client.rpush(UNPREFIXED.seen(addresses[1 - marked], one.event.event_id), "no mark")
    redis_client.set(UNPREFIXED.stream(ROOM(1)), "no stream")
    (receipt,) = settler.prepare([delivery(one)]).unpublished().values()
    assert (receipt.status, receipt.position) == (ReceiptStatus.DUPLICATE, "17-3")


def test_an_event_for_many_addresses_counts_as_many_in_a_call(settler: Settler, redis_client: redis.Redis) -> None:
    rooms = tuple(ROOM(number) for number in range(100))
    events = [event(None, None, *rooms) for _ in range(12)]
    redis_client.config_resetstat()
    assert not settler.prepare([delivery(*events)]).unpublished()
    calls = redis_client.info("commandstats")
    assert calls["cmdstat_xadd"]["calls"] == 1200
    assert calls["cmdstat_evalsha"]["calls"] >= 1200 / BATCH_MAX
    assert int(redis_client.hget(keys.COUNTS, "published") or 0) == 12


def test_a_class_of_retention_has_length_life_and_marks_of_its_own(redis_url: str, redis_client: redis.Redis) -> None:
    settings = Settings(broker_url=redis_url, stream_ttl_s=100, stream_maxlen=200)
    alarms = Retention("alarms", length=900, seconds=50_000)
    with connect(settings) as client:
        settler = Settler(client, settings)
        one = event(None, None, User(USER), ROOM(1))
        settler.prepare([delivery(one, retention=alarms)]).unpublished()
        settler.prepare([delivery(*[event() for _ in range(1000)], retention=alarms)]).unpublished()
        settler.prepare([delivery(*[event() for _ in range(1000)])]).unpublished()
    stream = UNPREFIXED.stream(User(USER))
    assert 900 <= int(redis_client.xlen(f"{stream}:alarms")) <= 1000
    assert 200 <= int(redis_client.xlen(stream)) <= 300
    assert 49_990 <= int(redis_client.ttl(f"{stream}:alarms")) <= 50_000
    assert 90 <= int(redis_client.ttl(stream)) <= 100
    longer_s = int(redis_client.ttl(UNPREFIXED.seen(ROOM(1), one.event.event_id))) - settings.seen_life_s
    assert 49_890 <= longer_s <= 49_900


async def test_of_too_many_classes_the_oldest_is_forgotten_but_not_that_it_was_written_to(
    client: redis.Redis, settings: Settings, redis_client: redis.Redis
) -> None:
    settler = Settler(client, settings)
    async with connect_async(settings) as async_client:
        history = History(async_client, settings)
        before = (await history.now()).horizon
        for number in range(33):
            settler.prepare([delivery(event(), retention=Retention(f"c{number}"))]).unpublished()
        middle = (await history.now()).horizon
        assert (await read_all(history, before))[1]
        settler.prepare([delivery(event(), retention=Retention("c33"))]).unpublished()
        names = redis_client.hkeys(keys.RETENTIONS)
        assert "" in names and "c0" not in names and "c1" in names and "c33" in names
        assert not (await read_all(history, before))[1]
        assert (await read_all(history, middle))[1]


def test_strangers_who_keep_something_else_of_that_name_fail_it_before_anything_is_written(
    settler: Settler, redis_client: redis.Redis
) -> None:
    redis_client.set(keys.RETENTIONS, "x")
    with pytest.raises(Exception, match="WRONGTYPE"):
        settler.prepare([delivery(event(), retention=Retention("a"))]).unpublished()
    assert not redis_client.exists(keys.POSITION, keys.stream(User(USER)))
    assert not settler.prepare([delivery(event(USER, uuid4()))]).unpublished()
