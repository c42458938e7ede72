"""Events told to several addresses, and in classes of retention: one position an event, once to whoever hears it."""

from uuid import uuid4

import pytest
from msgspec.structs import replace

from bridge.model.bounds import HEARD_MAX, TOPICS_MAX
from bridge.model.events.sse_event import read_message
from bridge.model.position import START
from bridge.model.publishing import ReceiptStatus
from bridge.model.registry import EVERYONE, Retention, Topic, User
from bridge.model.registry.metadata import LIFE_MIN_S
from tests.contract.conftest import Open
from tests.support.telling import OTHER, USER, delivery, event, name_of, publish, read_all

ORDER, ORG = Topic("order", int)(42), Topic("org")("7")
ALARMS = Retention("alarms", length=50, seconds=10_000)
CHATTER = Retention("chatter", length=1, seconds=200)


async def test_who_hears_an_event_under_several_addresses_gets_it_once_in_its_place(opened: Open) -> None:
    adapter = await opened()
    told = [
        event(None, None, User(USER), ORDER),
        event(),
        event(None, None, ORDER, ORG, User(OTHER)),
        event(None, None, ORG),
        event(None, None, EVERYONE, ORDER, User(USER)),
    ]
    publish(adapter.publisher, *told)
    names = [name_of(one) for one in told]
    heard = {
        (): [0, 1, 4],
        (ORDER,): [0, 1, 2, 4],
        (ORG,): [0, 1, 2, 3, 4],
        (ORG, ORDER, EVERYONE, ORG): [0, 1, 2, 3, 4],
    }
    for topics, places in heard.items():
        events, complete = await read_all(adapter.event_log, START, USER, *topics)
        assert [one.event_id for one in events] == [names[place] for place in places] and complete
        assert [one.position for one in events] == sorted({one.position for one in events})
    assert adapter.count("published") == 5 and adapter.balance().balanced


async def test_an_event_that_any_of_its_addresses_was_told_is_not_published_again(opened: Open) -> None:
    adapter = await opened()
    name = uuid4()
    publish(adapter.publisher, event(None, name, ORDER))
    pending = adapter.publisher.prepare([delivery(event(None, name, User(USER), ORDER), event(None, None, ORDER, ORG))])
    assert {place: one.status for place, one in pending.unpublished().items()} == {0: ReceiptStatus.DUPLICATE}
    assert not (await read_all(adapter.event_log, START))[0]
    assert len((await read_all(adapter.event_log, START, USER, ORDER))[0]) == 2
    assert (adapter.count("published"), adapter.count("duplicate")) == (2, 1)


async def test_an_id_is_located_at_its_one_position_whoever_asks(opened: Open) -> None:
    adapter = await opened()
    one, apart = event(None, None, User(OTHER), ORDER), uuid4()
    publish(adapter.publisher, one)
    publish(adapter.publisher, event(None, apart, ORG))
    publish(adapter.publisher, event(None, apart, ORDER))
    log = adapter.event_log
    first, second, third = (await read_all(log, START, USER, ORDER, ORG))[0]
    name = one.event.event_id
    assert await log.locate([User(USER)], name) is None
    assert await log.locate([User(USER), ORDER], name) == await log.locate([User(OTHER)], name) == first.position
    assert await log.locate([ORDER], apart) == third.position
    assert await log.locate([ORDER, ORG], apart) == second.position


async def test_each_address_hears_it_live_at_the_same_position(opened: Open) -> None:
    adapter = await opened()
    live = adapter.live()
    await live.open()
    channels = [adapter.channels.channel(one) for one in (User(USER), ORDER, EVERYONE)]
    await live.send("SUBSCRIBE", *channels)
    for _ in channels:
        assert await live.hear(5)
    one = event(None, None, ORDER, EVERYONE, User(USER), ORG)
    publish(adapter.publisher, one)
    heard = [await live.hear(5) for _ in channels]
    assert [message.channel for message in heard if message] == [channels[1], channels[2], channels[0]]
    events = {read_message(message.message) for message in heard if message and message.message}
    assert [found.event_id for found in events] == [name_of(one)]
    assert all([await adapter.event_log.vouch(message.channel, message.message or b"") for message in heard if message])
    await live.close()


async def test_chatter_pushes_no_alarm_out_and_both_are_in_one_order(opened: Open) -> None:
    adapter = await opened(stream_maxlen=1)
    alarm, last = event(None, None, User(USER), ORDER), event(None, None, ORDER)
    publish(adapter.publisher, alarm, retention=ALARMS)
    seen = (await adapter.event_log.now()).horizon
    publish(adapter.publisher, *[event() for _ in range(300)])
    publish(adapter.publisher, last, retention=ALARMS)
    events, complete = await read_all(adapter.event_log, START, USER, ORDER)
    assert events[0].event_id == name_of(alarm) and events[-1].event_id == name_of(last)
    assert complete and 2 < len(events) < 302
    assert not (await adapter.event_log.read([User(USER)], seen)).complete
    assert (await adapter.event_log.read([User(OTHER), ORDER], seen)).complete


async def test_each_class_is_kept_for_its_own_life(opened: Open) -> None:
    adapter = await opened(stream_ttl_s=1000)
    publish(adapter.publisher, event())
    at = await adapter.event_log.read([User(USER)], START)
    alarm = event()
    publish(adapter.publisher, alarm, retention=ALARMS)
    publish(adapter.publisher, event(), retention=CHATTER)
    after_alarm = (await adapter.event_log.now()).horizon
    adapter.pass_time(900)
    publish(adapter.publisher, event())
    page = await adapter.event_log.read([User(USER)], at.horizon, read_at_ms=at.read_at_ms)
    assert not page.complete and page.events[0].event_id == name_of(alarm)
    assert (await adapter.event_log.read([User(USER)], after_alarm)).complete
    for _ in range(8):
        adapter.pass_time(900)
        publish(adapter.publisher, event())
    page = await adapter.event_log.read([User(USER)], after_alarm)
    assert page.complete and len(page.events) == 9
    assert (await read_all(adapter.event_log, START))[0][1].event_id == name_of(alarm)


async def test_a_broadcast_of_a_class_is_missing_when_its_own_history_is_gone(opened: Open) -> None:
    adapter = await opened(stream_ttl_s=10_000)
    publish(adapter.publisher, event())
    page = await adapter.event_log.read([User(USER)], START)
    publish(adapter.publisher, event(), retention=CHATTER)
    publish(adapter.publisher, event(None), retention=ALARMS)
    after_alarm = (await adapter.event_log.now()).horizon
    publish(adapter.publisher, event(None), retention=CHATTER)
    after_chatter = (await adapter.event_log.now()).horizon
    adapter.pass_time(100)
    assert (await adapter.event_log.read([User(OTHER)], page.horizon)).complete
    adapter.pass_time(200)
    publish(adapter.publisher, event())
    assert not (await adapter.event_log.read([User(USER)], after_alarm)).complete
    assert (await adapter.event_log.read([User(USER)], after_chatter)).complete


async def test_a_look_every_ninety_seconds_is_complete_however_short_a_class_lives(opened: Open) -> None:
    adapter = await opened()
    publish(adapter.publisher, event())
    for _ in range(3):
        page = await adapter.event_log.read([User(USER)], START)
        adapter.pass_time(90)
        publish(adapter.publisher, event(OTHER), event(None, None, ORDER), retention=Retention("typing", seconds=2))
        again = await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)
        assert again.complete and not again.events
    adapter.pass_time(LIFE_MIN_S + 1)
    assert not (await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)).complete


@pytest.mark.parametrize("lives_s", [(200, 3600), (3600, 200, 3600), (200, 900, 3600)])
async def test_what_expired_by_a_shorter_life_is_missing_though_the_class_lives_longer_now(
    opened: Open, lives_s: tuple[int, ...]
) -> None:
    adapter = await opened()
    publish(adapter.publisher, event(None, None, ORDER), retention=Retention("typing", seconds=lives_s[0]))
    page = await adapter.event_log.read([User(USER)], START)
    adapter.pass_time(1)
    publish(adapter.publisher, event(), retention=Retention("typing", seconds=min(lives_s)))
    adapter.pass_time(400)
    for life_s in lives_s[1:]:
        publish(adapter.publisher, event(None, None, ORG), retention=Retention("typing", seconds=life_s))
    assert not (await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)).complete
    publish(adapter.publisher, event(), retention=Retention("typing", seconds=3600))
    assert not (await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)).complete
    page = await adapter.event_log.read([User(USER)], START)
    adapter.pass_time(3000)
    publish(adapter.publisher, event(None, None, ORG), retention=Retention("typing", seconds=3600))
    assert (await adapter.event_log.read([User(USER)], page.horizon, read_at_ms=page.read_at_ms)).complete


async def test_what_is_kept_stays_though_its_class_lives_for_less_now(opened: Open) -> None:
    adapter = await opened()
    told = [event(), event()]
    publish(adapter.publisher, told[0], retention=Retention("typing", seconds=3600))
    publish(adapter.publisher, told[1], retention=Retention("typing", seconds=200))
    adapter.pass_time(3000)
    assert [one.event_id for one in (await read_all(adapter.event_log, START))[0]] == list(map(name_of, told))


async def test_of_many_addresses_with_one_large_event_each_a_page_has_few(opened: Open) -> None:
    adapter = await opened()
    rooms = [Topic("room", int)(number) for number in range(TOPICS_MAX)]
    large, limit_bytes = b'{"a":"' + b"x" * 60_000 + b'"}', 2**17
    told = [replace(event(None, None, room), payload=large) for room in reversed(rooms)]
    told.append(replace(event(None, None, *rooms), payload=large))
    publish(adapter.publisher, *told[::2])
    publish(adapter.publisher, *told[1::2], retention=ALARMS)
    pages, after = [], START
    while not pages or not pages[-1].last:
        pages.append(await adapter.event_log.read([User(USER), *rooms], after, limit_bytes=limit_bytes))
        after = pages[-1].horizon
    assert [one.event_id for page in pages for one in page.events] == list(map(name_of, told[::2] + told[1::2]))
    assert max(sum(len(one.payload) for one in page.events) for page in pages) <= 2 * limit_bytes
    assert all(page.complete for page in pages)


async def test_many_addresses_are_read_in_pages_that_vouch_for_all_of_them(opened: Open) -> None:
    adapter = await opened()
    rooms = [Topic("room", int)(number) for number in range(HEARD_MAX - 2)]
    told = [event(None, None, rooms[number % 7], rooms[7 + number % 53]) for number in range(700)]
    publish(adapter.publisher, *told)
    events, complete = await read_all(adapter.event_log, START, USER, *rooms)
    assert [one.event_id for one in events] == [name_of(one) for one in told] and complete
    with pytest.raises(ValueError, match="can hear fewer than 64"):
        await adapter.event_log.read([User(USER), *rooms, ORDER], START)
