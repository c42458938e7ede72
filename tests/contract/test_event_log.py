"""The event log: publishes once, keeps one order, and is honest about what it does not retain."""

from uuid import uuid4

import pytest

from bridge.model.errors import StoreError
from bridge.model.position import START, Position
from bridge.model.publishing import ReceiptStatus
from bridge.model.registry import User
from tests.contract.conftest import Open
from tests.support.telling import OTHER, USER, delivery, event, name_of, publish, read_all


async def test_what_was_published_is_read_by_its_user_with_the_broadcasts_in_one_order(opened: Open) -> None:
    adapter = await opened()
    told = [event(), event(None), event(OTHER), event(), event(None)]
    publish(adapter.publisher, *told[:3])
    adapter.pass_time(5)
    publish(adapter.publisher, *told[3:])
    events, complete = await read_all(adapter.event_log, START)
    assert [one.event_id for one in events] == [name_of(one) for one in told if one.user_id != OTHER]
    assert complete and events == sorted(events, key=lambda one: one.position)
    assert [(one.event_type, one.payload) for one in events] == [("import.started", '{"a":"b"}')] * 4


async def test_an_event_is_published_once_in_the_window_and_again_after_it(opened: Open) -> None:
    adapter = await opened(seen_ttl_s=200_000)
    one = event()
    for wait_s in (0, 199_990, 20):
        adapter.pass_time(wait_s)
        publish(adapter.publisher, one)
        publish(adapter.publisher, one, one)
    assert (adapter.count("published"), adapter.count("duplicate")) == (2, 7)
    assert adapter.balance().balanced


async def test_who_publishes_is_told_what_had_been_published_before(opened: Open) -> None:
    adapter = await opened()
    one, other = event(), event(OTHER)
    assert adapter.publisher.prepare([delivery(one)]).unpublished() == {}
    pending = adapter.publisher.prepare([delivery(event(), one), delivery(other, other)])
    told = pending.unpublished()
    assert {place: receipt.status for place, receipt in told.items()} == dict.fromkeys((1, 3), ReceiptStatus.DUPLICATE)


async def test_an_event_is_published_once_to_each_of_several_users(opened: Open) -> None:
    adapter = await opened()
    name = uuid4()
    for user in (USER, OTHER, None, USER, None):
        publish(adapter.publisher, event(user, name))
    assert adapter.count("published") == 3
    assert [len((await read_all(adapter.event_log, START, user))[0]) for user in (USER, OTHER)] == [2, 2]


async def test_reading_on_from_a_cursor_shows_each_event_once_whatever_comes_meanwhile(opened: Open) -> None:
    adapter = await opened()
    told, seen, cursor = [], [], START
    for number in range(7):
        batch = [event(None if (number + place) % 3 else USER) for place in range(90)]
        told += map(name_of, batch)
        publish(adapter.publisher, *batch)
        page = await adapter.event_log.read([User(USER)], cursor)
        assert page.complete
        seen += [one.event_id for one in page.events]
        cursor = page.horizon
    seen += [one.event_id for one in (await read_all(adapter.event_log, cursor))[0]]
    assert seen == told


async def test_a_page_holds_at_least_one_event_and_no_more_bytes_than_asked_for(opened: Open) -> None:
    adapter = await opened()
    told = [event() for _ in range(5)]
    publish(adapter.publisher, *told)
    page = await adapter.event_log.read([User(USER)], START, limit_bytes=1)
    assert [one.event_id for one in page.events] == [name_of(told[0])]
    assert page.complete and not page.last and page.horizon == page.events[0].position


async def test_an_id_is_located_for_whoever_received_it(opened: Open) -> None:
    adapter = await opened()
    own, shout, others = event(), event(None), event(OTHER)
    publish(adapter.publisher, own, shout, others)
    events, _ = await read_all(adapter.event_log, START)
    places = [await adapter.event_log.locate([User(USER)], one.event.event_id) for one in (own, shout, others)]
    assert places == [events[0].position, events[1].position, None]
    assert await adapter.event_log.locate([User(USER)], uuid4()) is None


async def test_the_newest_position_is_where_a_newcomer_begins(opened: Open) -> None:
    adapter = await opened()
    first = await adapter.event_log.now()
    assert first.horizon > START and first.complete and first.last and not first.events
    publish(adapter.publisher, event(OTHER))
    assert (await adapter.event_log.now()).horizon > first.horizon
    page = await adapter.event_log.read([User(USER)], first.horizon)
    assert page.complete and not page.events and page.horizon == (await adapter.event_log.now()).horizon


async def test_what_was_trimmed_makes_reading_from_before_it_incomplete(opened: Open) -> None:
    adapter = await opened(stream_maxlen=100)
    publish(adapter.publisher, event())
    before = (await adapter.event_log.now()).horizon
    for _ in range(6):
        publish(adapter.publisher, *[event() for _ in range(200)])
    events, complete = await read_all(adapter.event_log, before)
    assert not complete and 100 <= len(events) < 1200
    assert (await read_all(adapter.event_log, events[0].position))[1]


async def test_a_reader_who_was_away_for_longer_than_events_are_kept_is_told_so(opened: Open) -> None:
    adapter = await opened(stream_ttl_s=100)
    publish(adapter.publisher, event())
    page = await adapter.event_log.read([User(USER)], START)
    adapter.pass_time(90)
    publish(adapter.publisher, event(OTHER))
    again = await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)
    assert again.complete and not again.events
    adapter.pass_time(101)
    publish(adapter.publisher, event(OTHER))
    assert not (await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)).complete
    assert (await adapter.event_log.read([User(USER)], again.horizon, read_at_ms=again.read_at_ms + 60_000)).complete


async def test_a_broadcast_that_was_forgotten_is_missing_to_everybody(opened: Open) -> None:
    adapter = await opened(stream_ttl_s=100)
    publish(adapter.publisher, event())
    page = await adapter.event_log.read([User(USER)], START)
    publish(adapter.publisher, event(None))
    adapter.pass_time(90)
    publish(adapter.publisher, event())
    assert (await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)).complete
    adapter.pass_time(20)
    assert not (await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)).complete


async def test_positions_that_were_never_handed_out_are_not_vouched_for(opened: Open) -> None:
    adapter = await opened()
    publish(adapter.publisher, event())
    newest = (await adapter.event_log.now()).horizon
    ms = int(str(newest).split("-")[0])
    for foreign in (Position(f"{ms + 10_000}-0"), Position(f"{ms - 10_000}-0")):
        assert not (await adapter.event_log.read([User(USER)], foreign)).complete
    assert (await adapter.event_log.read([User(USER)], newest)).complete


async def test_without_retention_events_are_still_published_once(opened: Open) -> None:
    adapter = await opened(stream_ttl_s=0)
    one = event()
    publish(adapter.publisher, one)
    publish(adapter.publisher, one)
    assert adapter.count("published") == 1
    assert not (await adapter.event_log.read([User(USER)], START)).events


async def test_nothing_is_published_before_it_begins_or_after_it_was_abandoned(opened: Open) -> None:
    adapter = await opened()
    pending = adapter.publisher.prepare([delivery(event())])
    assert adapter.count("published") == 0
    pending.abandon()
    assert adapter.count("published") == 0
    pending = adapter.publisher.prepare([delivery(event()), delivery(event(OTHER))])
    pending.begin()
    pending.begin()
    assert pending.unpublished() == {}
    pending.abandon()
    assert adapter.count("published") == 2
    assert adapter.publisher.prepare([]).unpublished() == {}


async def test_a_log_that_is_away_says_so_to_writers_and_readers(opened: Open) -> None:
    adapter = await opened(away=True)
    with pytest.raises(StoreError):
        adapter.publisher.prepare([delivery(event())]).unpublished()
    with pytest.raises(StoreError):
        await adapter.event_log.read([User(USER)], START)
    with pytest.raises(StoreError):
        await adapter.event_log.now()
    with pytest.raises(StoreError):
        await adapter.event_log.locate([User(USER)], uuid4())
