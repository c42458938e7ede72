"""Settling on a real server: each event once, in order, in one step, for as long as it was promised."""

import asyncio
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
import redis

from bridge import User
from bridge.model.position import Position
from bridge.model.publishing import ReceiptStatus
from bridge.redis_adapter import RedisSSEPublisher, connect, connect_async
from bridge.settings import Settings
from tests.support import keys
from tests.support.addressed_events import direct
from tests.support.counts import Counts
from tests.support.settling import OTHER, USER, Settler, addressed, an_event, entries, read_all, several
from tests.support.waiting import WAIT_S

FAR_AHEAD_MS = 9_000_000_000_000
"""Some 200 years after the server's clock."""


@pytest.fixture
def settler(client: redis.Redis, settings: Settings) -> Settler:
    return Settler(client, settings)


# What is written


def test_a_stream_entry_has_exactly_the_five_fields(settler: Settler, redis_client: redis.Redis) -> None:
    event = an_event(connection_id="abc", text="naïve \n \u2028")
    (receipt,) = settler.settle(direct([addressed(event)]))
    ((position, fields),) = entries(redis_client)
    assert receipt.status is ReceiptStatus.PUBLISHED
    assert position == receipt.position
    assert fields | {"data": json.loads(fields["data"])} == event.to_dict()
    assert list(fields) == ["event_id", "event_type", "user_id", "data", "occurred_at"]


def test_a_channel_message_is_the_events_dict_and_its_position(settler: Settler, redis_client: redis.Redis) -> None:
    event, shout = an_event(text='"quoted" \\ \n ☃', nothing=None, deep={"a": [1.5, True]}), an_event()
    with redis_client.pubsub() as subscriber:
        subscriber.psubscribe("*")
        assert subscriber.get_message(timeout=WAIT_S)
        receipts = settler.settle(direct([addressed(event), addressed(shout, None)]))
        messages = [json.loads(message) for message in read_all(subscriber, 2)]
    assert messages == [
        event.to_dict() | {"position": receipts[0].position},
        shout.to_dict() | {"position": receipts[1].position},
    ]


@pytest.mark.parametrize(
    "offset", [UTC, timezone(timedelta(0)), timezone(timedelta(hours=2)), timezone(-timedelta(minutes=1, seconds=1))]
)
def test_a_moment_is_written_as_isoformat_whatever_its_offset(
    settler: Settler, redis_client: redis.Redis, offset: timezone
) -> None:
    moments = [
        datetime(2026, 11, 21, 4, 5, 6, 70, offset),
        datetime(2026, 11, 21, 4, 5, 6, 0, offset),
        datetime(999, 1, 2, tzinfo=offset),
        datetime(2026, 11, 21, 4, 5, 6, 70, UTC),
    ]
    settler.settle(direct([addressed(replace(an_event(), occurred_at=moment)) for moment in moments]))
    assert [fields["occurred_at"] for _, fields in entries(redis_client)] == [one.isoformat() for one in moments]


@pytest.mark.parametrize("number", [1, 300])
def test_only_what_was_not_published_is_named_by_its_place(
    settler: Settler, redis_client: redis.Redis, number: int
) -> None:
    redis_client.rpush(keys.stream(User(OTHER)), "x")
    batch = direct([*several(number), addressed(an_event(OTHER), OTHER), *several(number)])
    for _ in range(2):
        unpublished = settler.prepare(batch).unpublished()
        assert [place for place, receipt in unpublished.items() if not receipt.ok] == [number]
        assert (unpublished[number].error or "").startswith("WRONGTYPE")
    assert list(unpublished) == list(range(2 * number + 1))
    assert len(entries(redis_client)) == 2 * number
    assert settler.prepare(direct(several(number))).unpublished() == {}


def test_a_stream_that_gets_many_events_at_once_is_trimmed_in_the_same_step(
    redis_url: str, redis_client: redis.Redis
) -> None:
    settings = Settings(broker_url=redis_url, stream_maxlen=100)
    with connect(settings) as client:
        Settler(client, settings).settle(direct([*several(250, None), *several(250)]))
    assert [len(entries(redis_client, user)) <= 200 for user in (USER, None)] == [True, True]


def test_each_event_goes_to_its_own_address(settler: Settler, redis_client: redis.Redis) -> None:
    with redis_client.pubsub() as subscriber:
        channels = [f"sse:user:{{{USER}}}", f"sse:user:{{{OTHER}}}", "sse:broadcast"]
        subscriber.subscribe(*channels)
        events = [an_event(to=index) for index in range(3)]
        settler.settle(direct([addressed(events[0], USER), addressed(events[1], OTHER), addressed(events[2], None)]))
        came = []
        while len(came) < 3:
            message = subscriber.get_message(timeout=WAIT_S)
            assert message is not None
            if message["type"] == "message":
                came.append((message["channel"], json.loads(message["data"])["data"]["to"]))
    assert came == [(channel, index) for index, channel in enumerate(channels)]
    names = set(redis_client.keys())
    assert names == {
        "bridge:metrics",
        f"sse:stream:user:{{{USER}}}",
        f"sse:stream:user:{{{OTHER}}}",
        "sse:stream:broadcast",
        f"sse:seen:{{{USER}}}:{events[0].event_id}",
        f"sse:seen:{{{OTHER}}}:{events[1].event_id}",
        f"sse:seen:{{sse:stream:broadcast}}:{events[2].event_id}",
        "sse:position",
        "sse:position:began",
        "sse:position:broadcast",
        "bridge:counts",
    }
    assert not any("None" in name for name in names)


# Once


def test_the_same_batch_again_changes_nothing_and_answers_the_old_positions(
    settler: Settler, redis_client: redis.Redis, client: redis.Redis
) -> None:
    batch = [*several(300), addressed(an_event(), None)]
    first = settler.settle(direct(batch))
    with redis_client.pubsub() as subscriber:
        subscriber.psubscribe("*")
        assert subscriber.get_message(timeout=WAIT_S)
        again = settler.settle(direct(batch))
        assert subscriber.get_message(timeout=0.05) is None
    assert {receipt.status for receipt in first} == {ReceiptStatus.PUBLISHED}
    assert {receipt.status for receipt in again} == {ReceiptStatus.DUPLICATE}
    assert [receipt.position for receipt in again] == [receipt.position for receipt in first]
    assert all(receipt.ok for receipt in first + again)
    assert len(entries(redis_client)) == 300
    counts = Counts(client).read()
    assert (counts["published"], counts["duplicate"]) == (301, 301)


def test_the_same_event_twice_in_one_batch_is_published_once(settler: Settler, redis_client: redis.Redis) -> None:
    event = an_event()
    first, second, other = settler.settle(direct([addressed(event), addressed(event), addressed(an_event())]))
    assert (first.status, second.status) == (ReceiptStatus.PUBLISHED, ReceiptStatus.DUPLICATE)
    assert first.position == second.position != other.position
    assert len(entries(redis_client)) == 2


def test_one_event_may_go_to_several_addresses_once_each(settler: Settler, redis_client: redis.Redis) -> None:
    event = an_event()
    batch = [addressed(event, USER), addressed(event, OTHER), addressed(event, None)]
    assert {receipt.status for receipt in settler.settle(direct(batch))} == {ReceiptStatus.PUBLISHED}
    assert {receipt.status for receipt in settler.settle(direct(batch))} == {ReceiptStatus.DUPLICATE}
    assert [len(entries(redis_client, user)) for user in (USER, OTHER, None)] == [1, 1, 1]


async def test_publisher_and_settler_recognise_each_others_events(settings: Settings, settler: Settler) -> None:
    one, two, shout = an_event(), an_event(), an_event()
    async with connect_async(settings) as asyncio_client:
        publisher = RedisSSEPublisher(asyncio_client, settings)
        published = [await publisher.publish(one), await publisher.broadcast(shout)]
        again = await asyncio.to_thread(
            settler.settle, direct([addressed(one), addressed(two), addressed(shout, None)])
        )
        assert (await publisher.publish(two)).status is ReceiptStatus.DUPLICATE
    assert [receipt.status for receipt in again] == [
        ReceiptStatus.DUPLICATE,
        ReceiptStatus.PUBLISHED,
        ReceiptStatus.DUPLICATE,
    ]
    assert [again[0].position, again[2].position] == [receipt.position for receipt in published]


def test_settling_nothing_does_nothing(settler: Settler, redis_client: redis.Redis) -> None:
    assert settler.settle([]) == []
    assert redis_client.keys() == []


# In order


def assert_strictly_increasing(positions: list[str | None]) -> None:
    places = [Position(position) for position in positions if position]
    assert len(places) == len(positions)
    assert all(one < next_one for one, next_one in itertools.pairwise(places))


def test_positions_increase_over_users_broadcasts_and_batches(settler: Settler, redis_client: redis.Redis) -> None:
    batches = [[addressed(an_event(), (USER, OTHER, None)[index % 3]) for index in range(40)] for _ in range(5)]
    assert_strictly_increasing([receipt.position for batch in batches for receipt in settler.settle(direct(batch))])
    assert redis_client.get(keys.BROADCAST_TIP) == entries(redis_client, None)[-1][0]


@pytest.mark.parametrize("spoil", ["deleted", "ahead", "stream ahead", "stream ahead and emptied"])
def test_positions_increase_when_the_position_key_is_lost_or_the_clock_was_ahead(
    settler: Settler, redis_client: redis.Redis, spoil: str
) -> None:
    positions = [receipt.position for receipt in settler.settle(direct([*several(3), *several(3, None)]))]
    if spoil == "deleted":
        redis_client.delete(keys.POSITION)
    elif spoil == "ahead":
        redis_client.set(keys.POSITION, f"{FAR_AHEAD_MS}-7")
    else:
        redis_client.xadd(keys.stream(User(USER)), {"x": "y"}, id=f"{FAR_AHEAD_MS}-41")
        if spoil == "stream ahead and emptied":
            redis_client.xtrim(keys.stream(User(USER)), maxlen=0, approximate=False)
    for user in (OTHER, USER, None, OTHER, USER):
        receipts = settler.settle(direct(several(3, user)))
        assert {receipt.status for receipt in receipts} == {ReceiptStatus.PUBLISHED}
        positions += [receipt.position for receipt in receipts]
    assert_strictly_increasing(positions)


def test_the_order_of_a_batch_is_the_order_of_the_stream(settler: Settler, redis_client: redis.Redis) -> None:
    batch = several(700)
    settler.settle(direct(batch))
    assert [fields["event_id"] for _, fields in entries(redis_client)] == [str(one.event.event_id) for one in batch]
