"""An event whose mapping says by a function who is told: its addresses, its user, and what is refused."""

import random
from dataclasses import replace
from typing import Any

import pytest

from bridge import Settings
from bridge.model.events.sse_event import NO_USER
from bridge.model.pipeline import Dead, EventCodec, Pipeline, Published, Retry, Skipped
from bridge.model.pipeline.rehearsal import rehearse
from bridge.model.registry import EVERYONE, Audience, RetryPolicy, User
from bridge.operations.trials import Trial, Trials
from bridge.producer.batching import Accepted, BatchLimits, batch, user_reader
from bridge.testing import MemoryStore
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from tests.support.rooms_catalog import Alarmed, Said, registry, room, team

PIPELINE = Pipeline(registry, retry=RetryPolicy(), event_max_bytes=65_536, random=random.random)
SAID, ALARMED = (registry.by_class[one] for one in (Said, Alarmed))


def raw_of(event: Any) -> Any:
    import msgspec

    return msgspec.json.decode(EventCodec(type(event)).encode(event, source="test"))


@pytest.mark.parametrize(
    ("event", "addresses", "user"),
    [
        (Said(room=1, by=7, mentioned=(8, 9, 8)), (room(1), User(8), User(9)), 7),
        (Said(room=1), (room(1),), NO_USER),
        (Alarmed(team="a"), (team("a"),), NO_USER),
        (Alarmed(team=""), (EVERYONE,), NO_USER),
    ],
)
def test_the_function_says_who_is_told_and_the_extractor_whose_it_is(event: Any, addresses: Any, user: Any) -> None:
    outcome = PIPELINE.run(registry.by_class[type(event)], raw_of(event))
    assert isinstance(outcome, Published)
    assert (outcome.addresses, outcome.event.user_id) == (addresses, user)
    (tried,) = Trials(PIPELINE, time_limit_s=5).outcomes([Trial(registry.by_class[type(event)], raw_of(event))])
    assert isinstance(tried, Published)
    assert (tried.addresses, tried.event.user_id) == (addresses, user)


def fails(_: Any) -> Any:
    raise LookupError


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"payload_extractor": fails}, ("room:1", "user:8")),
        ({"payload_extractor": fails, "audience": Audience.BROADCAST}, ("everyone",)),
        ({"payload_extractor": fails, "audience": Audience.USER}, ("user:7",)),
        ({"audience": fails}, ("user:7",)),
    ],
)
def test_what_fails_keeps_its_addresses_or_else_the_user_that_it_names(changes: Any, told: tuple[str, ...]) -> None:
    outcome = PIPELINE.run(replace(SAID, **changes), raw_of(Said(room=1, by=7, mentioned=(8,))))
    assert isinstance(outcome, Retry)
    assert outcome.told == told


def test_no_address_is_no_recipient() -> None:
    assert isinstance(PIPELINE.run(SAID, raw_of(Said(room=-1, by=7))), Skipped)


@pytest.mark.parametrize("wrong", [7, {"a": 1}, ["a"], "a b", "a{b"])
def test_what_is_no_address_is_dead_lettered_at_once_in_a_sentence(wrong: Any) -> None:
    outcome = PIPELINE.run(ALARMED, raw_of(Alarmed(team=wrong)))
    assert isinstance(outcome, Dead)
    assert outcome.failure.message.startswith("the key of team must")


def test_a_worker_publishes_to_each_address_and_counts_one_event() -> None:
    store = MemoryStore()
    events = [Said(room=1, by=7, mentioned=(8,)), Said(room=-1), Said(room=2)]
    raws = [raw_of(event) for event in events]
    handler = Handler(Settings(), registry, store.worker_ports)
    for _ in range(2):
        handler.run([Job(mapping=SAID, envelopes=raws, attempt=1, message_id="m", booked_as="")])
    assert [store.count(name) for name in ("accepted", "published", "skipped", "duplicate")] == [3, 2, 1, 0]
    assert store.count("published:room.said") == 2
    assert store.balance().balanced


def test_events_for_addresses_keep_their_place_among_all() -> None:
    said, alarmed = user_reader(SAID, registry.users), user_reader(ALARMED, registry.users)
    told = [("talk", Said(room=1, by=7)), ("alarm", Alarmed(team="a")), ("talk", Said(room=1, by=8))]
    accepted = [
        Accepted(task, "q", event.event_id, b"{}", (said if task == "talk" else alarmed)(event)) for task, event in told
    ]
    assert [message.task for message in batch(accepted, BatchLimits(events=10, size_bytes=10_000))] == [
        "talk",
        "alarm",
        "talk",
    ]


def test_a_user_of_the_wrong_type_is_refused_where_it_is_known() -> None:
    with pytest.raises(ValueError, match="user_id must be a whole number, not str"):
        user_reader(SAID, registry.users)(Said(room=1, by="7"))  # type: ignore[arg-type]


def test_such_mappings_are_rehearsed() -> None:
    assert not [remark for remark in rehearse(registry, event_max_bytes=65_536) if remark.fatal]
