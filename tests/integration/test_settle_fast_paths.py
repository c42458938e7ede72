"""The fast branches of settling: taken where they should be, and never another outcome than the general way's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bridge import SSEEvent, SSEEventType
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery
from bridge.model.registry import EVERYONE, Topic, User
from bridge.redis_adapter import Keyspace, Settler
from bridge.redis_adapter.script import script
from bridge.redis_adapter.settler import SettleCall
from bridge.redis_adapter.task_queue import entry
from bridge.settings import Settings
from tests.support.keys import UNPREFIXED
from tests.support.slow_settle import slow_settle, state_of

ANNOUNCED = "announced"
TASK, QUEUE, EVENTS = "bridge.Moody", "bridge.moods", 50
ORDER = Topic("order", int)
USERS: list[Any] = [
    *(UUID(int=1), UUID(int=2), None),
    *((ORDER(1),), (User(UUID(int=2)), ORDER(1)), (EVERYONE, ORDER(2), User(UUID(int=1)))),
]
IDS = [UUID(int=number) for number in range(1, 7)]


def addressed(event_id: UUID, to: Any = USERS[0]) -> AddressedEvent:
    """Of an event to a user, to everybody (None), or to addresses."""
    values: dict[str, Any] = {"event_type": SSEEventType.IMPORT_STARTED, "user_id": UUID(int=1), "data": {}}
    event = SSEEvent(**values, event_id=event_id, occurred_at=datetime(2026, 1, 1, tzinfo=UTC))
    told = to if isinstance(to, tuple) else ()
    return AddressedEvent(event=event, payload=b"{}", user_id=None if told else to, addresses=told)


def announce(client: redis.Redis, own: Keyspace, message_id: str, ids: Sequence[UUID]) -> None:
    """Enter a message into the accounting."""
    client.hset(own.OPEN, message_id, b"1700000000000 " + entry(TASK, QUEUE, b"".join(one.bytes for one in ids)))


def bury(client: redis.Redis, own: Keyspace, ids: Sequence[UUID]) -> None:
    for one in map(str, ids):
        client.zadd(own.DEAD_INDEX, {one: 1})
        client.hset(own.DEAD_LETTERS, one, "letter")
        client.hset(own.DEAD_HEADS, one, "head")


# Taken where they should be: told by how often the script calls a command


@pytest.fixture
def calls(client: redis.Redis, settings: Settings) -> Callable[..., dict[str, int]]:
    def count(**delivery: object) -> dict[str, int]:
        client.config_resetstat()
        settling = Settler(client, settings).prepare([Delivery(event_type="a.b", **delivery)])
        assert all(receipt.ok for receipt in settling.unpublished().values())
        stats = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}

    return count


def test_new_events_of_a_whole_message_are_looked_up_once_and_its_record_is_not_read(client, calls) -> None:
    ids = [uuid4() for _ in range(EVENTS)]
    announce(client, UNPREFIXED, "m", ids)
    made = calls(events=[addressed(one) for one in ids], message_id="m", whole=(TASK, QUEUE))
    assert (made["exists"], made["get"], made["hstrlen"], made["hdel"]) == (1, 1, 1, 1)
    assert "hget" not in made
    assert (made["xadd"], made["publish"]) == (EVENTS, EVENTS)


def test_a_message_of_which_an_event_was_taken_is_read(client, calls) -> None:
    ids = [uuid4() for _ in range(EVENTS)]
    announce(client, UNPREFIXED, "m", ids)
    announce(client, UNPREFIXED, "m", ids[1:])
    made = calls(events=[addressed(one) for one in ids], message_id="m", whole=(TASK, QUEUE))
    assert made["hget"] == 1


def test_one_event_that_was_seen_makes_each_be_looked_up(client, calls) -> None:
    ids = [uuid4() for _ in range(EVENTS)]
    calls(events=[addressed(ids[0])], message_id=DIRECT)
    made = calls(events=[addressed(one) for one in ids], message_id=DIRECT)
    assert (made["get"], made["xadd"]) == (1 + EVENTS, EVENTS - 1)


def test_letters_that_are_all_buried_leave_in_a_few_calls(client, calls) -> None:
    ids = [uuid4() for _ in range(EVENTS)]
    bury(client, UNPREFIXED, ids)
    made = calls(events=[addressed(one) for one in ids])
    assert (made["zmscore"], made["zrem"], made["hdel"]) == (2, 1, 2)


def test_letters_of_which_one_is_gone_leave_one_by_one(client, calls) -> None:
    ids = [uuid4() for _ in range(EVENTS)]
    bury(client, UNPREFIXED, ids[1:])
    made = calls(events=[addressed(one) for one in ids])
    assert (made["zmscore"], made["zrem"]) == (2, 2 * EVENTS)


# Never another outcome


@dataclass(frozen=True)
class Message:
    """One message: which events go where, what is skipped, how it is known to the accounting."""

    events: Sequence[tuple[UUID, Any]]
    skipped: Sequence[UUID]
    record: Sequence[UUID] | None
    message_id: str
    whole: bool


@dataclass(frozen=True)
class Story:
    """What Redis holds before, and the batches that are settled one after the other."""

    buried: Sequence[UUID]
    waiting: Sequence[UUID]
    strays: Sequence[tuple[str, UUID]]
    spoiled: bool
    batches: Sequence[Sequence[Message]]


strays = st.tuples(st.sampled_from(["retry", "dead"]), st.sampled_from(IDS))
some_ids = st.lists(st.sampled_from(IDS), max_size=4)
messages = st.builds(
    Message,
    events=st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(USERS)), max_size=5),
    skipped=some_ids,
    record=st.none() | some_ids,
    message_id=st.sampled_from([ANNOUNCED, ANNOUNCED, "", "", DIRECT]),
    whole=st.booleans(),
)
redriven = st.builds(
    Message,
    events=st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(USERS)), min_size=1, unique_by=itemgetter(0)),
    skipped=st.just([]),
    record=st.none(),
    message_id=st.just(""),
    whole=st.just(False),
)
stories = st.builds(
    Story,
    buried=st.one_of(some_ids, st.just(IDS)),
    waiting=st.one_of(st.just([]), some_ids),
    strays=st.one_of(
        st.just([]), st.lists(st.tuples(st.sampled_from(["retry", "dead"]), st.sampled_from(IDS)), max_size=2)
    ),
    spoiled=st.booleans(),
    batches=st.lists(st.lists(messages | redriven, min_size=1, max_size=3), min_size=1, max_size=3),
)


def prepare(client: redis.Redis, own: Keyspace, story: Story) -> None:
    bury(client, own, story.buried)
    for one in map(str, story.waiting):
        client.zadd(own.RETRY_DUE, {one: 1})
        client.hset(own.RETRY_RECORDS, one, "record")
    for place, one in story.strays:
        client.sadd(own.STRAYS, f"{place}:{one}")
    if story.spoiled:
        client.set(own.stream(User(UUID(int=2))), "no stream")


def delivery(client: redis.Redis, own: Keyspace, message: Message, announced: set[str]) -> Delivery:
    ids = [one for one, _ in message.events] + list(message.skipped)
    message_id = message.message_id
    if message_id == ANNOUNCED:
        # A message has always the same events; it may be run a second time.
        message_id = "/".join(map(str, [*message.events, "|", *message.skipped]))
        if message.record is not None and message_id not in announced:
            announce(client, own, message_id, ids if message.whole else message.record)
            announced.add(message_id)
    return Delivery(
        event_type="a.b",
        events=[addressed(*one) for one in message.events],
        message_id=message_id,
        whole=(TASK, QUEUE) if message.whole and ids else None,
        skipped=[str(one) for one in message.skipped],
        metrics=[("m", 2)],
    )


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories)
def test_the_fast_branches_do_exactly_what_the_general_way_does(client: redis.Redis, story: Story) -> None:
    seen = []
    client.flushall()
    for prefix, one in (("fast.", script("settle")), ("slow.", slow_settle())):
        settings = Settings(prefix=prefix)
        own, call = Keyspace.of(settings), SettleCall(settings)
        prepare(client, own, story)
        answers, announced = [], set[str]()
        for batch in story.batches:
            deliveries = [delivery(client, own, message, announced) for message in batch]
            answer = one.send(client, call.arguments(deliveries))
            number = sum(len(one.events) for one in deliveries)
            answers.append([receipt.status for receipt in call.receipts(answer, number)])
        seen.append((answers, state_of(client, own)))
    (fast_answers, fast_state), (general_answers, general_state) = seen
    assert fast_answers == general_answers
    for key in fast_state.keys() | general_state.keys():
        assert (key, fast_state.get(key)) == (key, general_state.get(key))
