"""History on a real server: two streams read as one, without gaps, and honest about what is lost."""

import random
from collections.abc import AsyncIterator, Iterator
from typing import cast
from uuid import UUID

import pytest
import redis
import redis.asyncio

from bridge.model.events import SSEEvent, SSEEventType, encode_payload
from bridge.model.events.sse_event import StreamedEvent, read_message
from bridge.model.position import START, Position
from bridge.model.publishing import AddressedEvent
from bridge.model.registry import User
from bridge.redis_adapter import History, connect, connect_async
from bridge.redis_adapter.event_log import PAGE
from bridge.settings import Settings
from tests.support import keys
from tests.support.addressed_events import direct
from tests.support.naming import shown
from tests.support.settling import Settler
from tests.support.waiting import WAIT_S, wait_until

USER, OTHER = UUID("01890a5d-ac96-774b-bcce-b302099a8001"), UUID("01890a5d-ac96-774b-bcce-b302099a8002")


def addressed(user_id: UUID | None = USER) -> AddressedEvent:
    event = SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=user_id or USER, data={"a": "b"})
    return AddressedEvent(event=event, payload=encode_payload(event.data), user_id=user_id)


class Story:
    """Publishes, and remembers what one user should get."""

    def __init__(self, settler: Settler) -> None:
        self._settler = settler
        self.told: list[tuple[Position, str]] = []

    def tell(self, *addressed_events: AddressedEvent) -> list[Position]:
        places = []
        for one, receipt in zip(addressed_events, self._settler.settle(direct(addressed_events)), strict=True):
            place = Position(receipt.position or "")
            places.append(place)
            if one.user_id in (USER, None):
                self.told.append((place, str(one.event.event_id)))
        return places


@pytest.fixture
def settler(settings: Settings) -> Iterator[Settler]:
    with connect(settings) as client:
        yield Settler(client, settings)


@pytest.fixture
def story(settler: Settler) -> Story:
    return Story(settler)


@pytest.fixture
async def history(settings: Settings) -> AsyncIterator[History]:
    async with connect_async(settings) as client:
        yield History(client, settings)


async def read_on(history: History, after: Position) -> tuple[list[StreamedEvent], bool]:
    """Everything after a position, page by page, and whether all pages were complete."""
    events: list[StreamedEvent] = []
    complete = True
    while True:
        page = await history.read([User(USER)], after)
        events += page.events
        complete = complete and page.complete
        assert page.horizon >= after
        assert all(after < event.position <= page.horizon for event in page.events)
        if page.last:
            return events, complete
        assert page.horizon > after
        after = page.horizon


# Reading


@pytest.mark.parametrize("seed", range(12))
async def test_pages_of_both_streams_merge_into_one_story_without_gap_or_repeat(
    seed: int, history: History, story: Story
) -> None:
    die = random.Random(seed)
    own, shouts, others = (die.choice([0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, die.randrange(900)]) for _ in range(3))
    addressed_events = [
        *map(addressed, [USER] * own),
        *map(addressed, [None] * min(shouts, 900)),
        *map(addressed, [OTHER] * min(others, 50)),
    ]
    die.shuffle(addressed_events)
    while addressed_events:
        cut = die.randrange(1, 300)
        story.tell(*addressed_events[:cut])
        addressed_events = addressed_events[cut:]
    starts = [START, *(place for place, _ in die.sample(story.told, min(8, len(story.told))))]
    for after in starts:
        events, complete = await read_on(history, after)
        assert [(event.position, event.event_id) for event in events] == [
            (place, event_id) for place, event_id in story.told if place > after
        ]
        assert complete


async def test_an_entry_reads_like_its_channel_message(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    with redis_client.pubsub() as subscriber:
        subscriber.subscribe(keys.channel(User(USER)))
        assert subscriber.get_message(timeout=WAIT_S)
        story.tell(addressed())
        message = subscriber.get_message(timeout=WAIT_S)
    page = await history.read([User(USER)], START)
    assert page.events == (read_message(message["data"]),)


async def test_another_users_events_are_never_read(history: History, story: Story) -> None:
    story.tell(addressed(OTHER))
    page = await history.read([User(USER)], START)
    assert page.events == ()
    assert page.horizon == (await history.now()).horizon


async def test_nothing_at_all_is_a_complete_empty_history(history: History) -> None:
    page = await history.read([User(USER)], START)
    assert (page.events, page.complete, page.last) == ((), True, True)
    assert START < page.horizon == (await history.now()).horizon
    assert START < (await history.now()).horizon == (await history.now()).horizon


@pytest.mark.parametrize("text", ["", "5", "-", "5-", "-5", "5-x", "x-5", "+", "1-2-3", "٣-1", " 1-1", "-1--1"])
def test_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no position"):
        Position(text)


def test_positions_order_by_number_and_not_by_text() -> None:
    places = [Position(text) for text in ("9-9", "10-0", "10-2", "10-10", "100-0")]
    reversed_places = list(reversed(places))
    assert sorted(reversed_places) == places
    assert len({Position("1-1"), Position("1-1")}) == 1
    assert str(Position("10-2")) == "10-2"


@pytest.mark.parametrize(
    "message", [b"", b"{}", b"null", "text", b'{"event_id":"x"}', b"\xff", b'{"event_id":1}'], ids=shown
)
def test_a_message_of_somebody_else_is_a_value_error(message: bytes | str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_message(message)


@pytest.mark.parametrize("position", ["", "abc", "1"])
def test_a_message_with_a_bad_position_is_a_value_error(position: str) -> None:
    message = '{"event_id":"01890a5d-ac96-774b-bcce-b302099a8001","event_type":"a.b","data":{},"position":"%s"}'
    with pytest.raises(ValueError, match="is no position"):
        read_message(message % position)


def test_a_line_break_between_json_tokens_cannot_end_a_field() -> None:
    data = '{\n"a":\r\n"x\\ny"}'
    message = f'{{"event_id":"{USER}","event_type":"a.b","data":{data},"position":"1-1"}}'
    payload = read_message(message).payload
    assert "\n" not in payload
    assert "\r" not in payload
    assert "x\\ny" in payload


# Complete, or not


async def complete_after(history: History, after: Position) -> bool:
    return (await history.read([User(USER)], after)).complete


async def test_a_trimmed_stream_is_incomplete_before_what_it_still_holds(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    places = story.tell(*(addressed() for _ in range(10)))
    redis_client.xtrim(keys.stream(User(USER)), maxlen=4, approximate=False)
    assert [await complete_after(history, place) for place in places] == [False] * 6 + [True] * 4
    assert await complete_after(history, START)


async def test_a_trimmed_broadcast_stream_is_incomplete_too(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    places = story.tell(*(addressed(None) for _ in range(6)))
    redis_client.xtrim(keys.BROADCAST_STREAM, maxlen=2, approximate=False)
    assert [await complete_after(history, place) for place in places] == [False] * 4 + [True] * 2


async def test_a_lost_broadcast_stream_is_noticed_by_those_it_concerns(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    before, shout, after = story.tell(addressed(), addressed(None), addressed())
    redis_client.delete(keys.BROADCAST_STREAM)
    assert [await complete_after(history, place) for place in (before, shout, after)] == [False, True, True]


async def test_a_flushed_server_cannot_vouch_for_a_position_it_never_gave(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    (place,) = story.tell(addressed())
    redis_client.flushall()
    page = await history.read([User(USER)], place)
    assert (page.complete, page.events) == (False, ())


def until_after(client: redis.Redis, place: Position) -> None:
    """Until Redis' clock shows a later millisecond: two orders that begin in the same one look alike."""

    def now_ms() -> int:
        seconds, microseconds = client.time()
        return seconds * 1000 + microseconds // 1000

    wait_until(lambda: now_ms() > int(str(place).partition("-")[0]), what="the next millisecond")


async def test_a_flushed_server_cannot_vouch_for_an_old_position_when_events_followed(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    (place,) = story.tell(addressed())
    redis_client.flushall()
    until_after(redis_client, place)
    story.tell(addressed())
    assert not await complete_after(history, place)


async def test_an_empty_server_vouches_for_the_position_it_gave_until_it_is_flushed(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    place = (await history.now()).horizon
    story.tell(addressed())
    page = await history.read([User(USER)], place)
    assert (page.complete, len(page.events)) == (True, 1)
    redis_client.flushall()
    story.tell(addressed())
    assert not await complete_after(history, place)


async def test_who_read_an_empty_history_learns_that_what_came_was_trimmed(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    empty = await history.read([User(USER)], START)
    story.tell(addressed(), addressed())
    redis_client.xtrim(keys.stream(User(USER)), maxlen=1, approximate=False)
    assert not await complete_after(history, empty.horizon)


async def test_a_user_without_a_stream_has_missed_nothing_lately(history: History, story: Story) -> None:
    (place,) = story.tell(addressed(OTHER))
    story.tell(addressed(OTHER))
    assert await complete_after(history, place)


def long_ago(story: Story, client: redis.Redis, hours: int = 2) -> Position:
    """A position that was handed out hours ago, and lies before all that is retained."""
    seconds, _ = cast("tuple[int, int]", client.time())
    place = Position(f"{(seconds - hours * 3600) * 1000}-0")
    client.set(keys.POSITION, str(place))
    return place


async def test_a_stream_that_expired_is_incomplete_for_those_who_were_away(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    away_since = long_ago(story, redis_client)
    story.tell(addressed(OTHER))
    assert not await complete_after(history, away_since)


async def test_a_stream_that_expired_and_began_anew_is_incomplete_for_those_who_were_away(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    away_since = long_ago(story, redis_client)
    (missed,) = story.tell(addressed())
    redis_client.delete(keys.stream(User(USER)))  # as its expiry does
    story.tell(addressed())
    page = await history.read([User(USER)], away_since)
    assert missed not in [event.position for event in page.events]
    assert not page.complete


async def test_who_read_on_while_nothing_happened_has_missed_nothing_when_a_stream_begins(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    quiet_since = long_ago(story, redis_client)
    idle = await history.read([User(USER)], quiet_since)
    story.tell(addressed())
    page = await history.read([User(USER)], quiet_since, read_at_ms=idle.read_at_ms)
    assert (len(page.events), page.complete) == (1, True)


async def test_a_broadcast_stream_that_began_anew_is_incomplete_for_those_who_were_away(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    away_since = long_ago(story, redis_client)
    story.tell(addressed(None))
    redis_client.delete(keys.BROADCAST_STREAM)
    story.tell(addressed(None))
    assert not await complete_after(history, away_since)


async def test_who_has_the_newest_event_has_missed_nothing_however_long_ago(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    newest = long_ago(story, redis_client, hours=200)
    page = await history.read([User(USER)], newest)
    assert (page.complete, page.last, page.horizon) == (True, True, newest)


async def test_without_retention_nothing_is_vouched_for(redis_url: str) -> None:
    settings = Settings(broker_url=redis_url, stream_ttl_s=0)
    with connect(settings) as client:
        (place, _) = Story(Settler(client, settings)).tell(addressed(), addressed())
    async with connect_async(settings) as asyncio_client:
        assert not await complete_after(History(asyncio_client, settings), place)


# Locating


async def test_an_event_is_located_by_its_id_for_its_user_and_a_broadcast_for_everybody(
    history: History, story: Story
) -> None:
    own, shout, foreign = addressed(), addressed(None), addressed(OTHER)
    places = story.tell(own, shout, foreign)
    assert await history.locate([User(USER)], own.event.event_id) == places[0]
    assert await history.locate([User(USER)], shout.event.event_id) == places[1]
    assert await history.locate([User(OTHER)], shout.event.event_id) == places[1]


async def test_another_users_event_or_an_unknown_one_is_not_located(history: History, story: Story) -> None:
    foreign = addressed(OTHER)
    story.tell(foreign)
    assert await history.locate([User(USER)], foreign.event.event_id) is None
    assert await history.locate([User(USER)], addressed().event.event_id) is None


async def test_an_event_is_located_even_when_its_entry_is_trimmed(
    history: History, story: Story, redis_client: redis.Redis
) -> None:
    first = addressed()
    (place, *_) = story.tell(first, addressed(), addressed())
    redis_client.xtrim(keys.stream(User(USER)), maxlen=1, approximate=False)
    assert await history.locate([User(USER)], first.event.event_id) == place
