"""Operators of a catalog with topics: where an event was told, what a redrive would do, and what supersedes what."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from bridge import Registry, Settings, Supersede
from bridge.cli.trace import describe
from bridge.model.dead_letter import DeadLetter
from bridge.model.errors import SettingsError
from bridge.model.pipeline import EventCodec
from bridge.operations import Letters, Selection, Tracer, address_in
from bridge.operations.dry_run import Expected, Predictor
from bridge.operations.staleness import Staleness
from bridge.testing import MemoryStore
from bridge.views.failed_events import hits_in_words, letter_facts, letter_row, read_filters
from bridge.views.words import addresses_in_words
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from tests.support.rooms_catalog import Alarmed, Said, registry
from tests.support.telling import letter

AT = datetime(2026, 11, 1, tzinfo=UTC)


def letter_of(event: Any, *told: str) -> DeadLetter:
    made = letter(str(event.event_id))
    values = {name: getattr(made, name) for name in made.__struct_fields__}
    envelope = EventCodec(type(event)).encode(event, source="test").decode()
    return DeadLetter(**{**values, "task": f"bridge.{type(event).__name__}", "envelope": envelope, "addresses": told})


def publish(store: MemoryStore, *events: Any) -> None:
    for event in events:
        raw = EventCodec(type(event)).encode(event, source="test")
        mapping = registry.by_class[type(event)]
        job = Job(mapping=mapping, envelopes=[_decoded(raw)], attempt=1, message_id=str(event.event_id), booked_as="")
        Handler(Settings(), registry, store.worker_ports).run([job])


def _decoded(raw: bytes) -> Any:
    return msgspec.json.decode(raw)


def test_a_trace_shows_each_address_that_was_told() -> None:
    store, event = MemoryStore(), Said(room=1, by=5, mentioned=(7,))
    publish(store, event)
    places = [describe(place) for place in Tracer(store.operators_store).trace(event.event_id)]
    assert [(place["address"], place["user_id"], place["broadcast"], place["in_stream"]) for place in places] == [
        ("room:1", None, False, True),
        ("user:7", "7", False, True),
    ]


def test_a_trace_by_an_address_looks_at_that_and_at_what_everyone_was_told() -> None:
    store, event = MemoryStore(), Said(room=1, by=5, mentioned=(7,))
    publish(store, event)
    tracer = Tracer(store.operators_store)

    def told(address: str) -> list[str]:
        return [
            place["address"] for place in map(describe, tracer.trace(event.event_id, address_in(address, registry)))
        ]

    assert [told(one) for one in ("room:1", " user:7 ", "room:2", "everyone")] == [["room:1"], ["user:7"], [], []]


def buried(*letters: DeadLetter) -> Letters:
    store = MemoryStore()
    store.dead_letters.bury(letters)
    return Letters(store.operators_store)


FOR_ROOM, FOR_BOTH, FOR_ALL, FOR_NONE = (
    letter_of(Said(room=1), *told) for told in (("room:1",), ("user:7", "room:1"), ("everyone",), ())
)


@pytest.mark.parametrize(
    ("lists", "found"),
    [
        ({"address": ["room:1"]}, [FOR_BOTH, FOR_ROOM]),
        ({"address": ["user:7"]}, [FOR_BOTH]),
        ({"user": ["7"]}, [FOR_BOTH]),
        ({"user": ["7"], "address": ["everyone"]}, [FOR_BOTH, FOR_ALL]),
        ({"address": ["room:2"]}, []),
    ],
)
def test_letters_are_found_by_any_of_their_addresses(lists: Any, found: list[DeadLetter]) -> None:
    letters = buried(FOR_ROOM, FOR_BOTH, FOR_ALL, FOR_NONE)
    chosen = letters.resolve(read_filters(lists, since="", until="", text="", now_ms=0), registry)
    assert {one.letter_id for _, one in letters.page(chosen).letters} == {one.letter_id for one in found}
    assert set(letters.ids(chosen)) == {one.letter_id for one in found}


@pytest.mark.parametrize("field", ["task", "queue", "letter_id"])
def test_what_is_called_as_an_address_is_not_told_there(field: str) -> None:
    """Other fields may hold what strangers wrote; discarding for an address must not meet them."""
    strange = [msgspec.structs.replace(FOR_ALL, **{field: name}) for name in ("room:1", '["room:1"', ',"room:1"')]
    assert not list(buried(*strange, FOR_NONE).ids(Selection(addresses=("room:1",))))


def test_a_group_says_how_many_users_and_topics_it_hits_and_everyone() -> None:
    letters = buried(FOR_ROOM, FOR_BOTH, FOR_ALL, FOR_NONE, letter_of(Said(room=2), "room:2", "user:8"))
    (group,) = letters.groups(Selection())
    assert (group.users, group.topics, group.everyone, group.users_exact) == (2, 2, True, True)
    assert hits_in_words(group) == "2 users, 2 topics, everyone"
    assert hits_in_words(replace(group, users=0, topics=0, everyone=False)) == "0 users"
    assert hits_in_words(replace(group, users=0, topics=1, everyone=False)) == "1 topic"
    hits = {hit.address: hit.count for hit in letters.addresses(Selection())}
    assert hits == {"room:1": 2, "user:7": 1, "everyone": 1, "room:2": 1, "user:8": 1}


def test_rows_and_facts_show_the_first_addresses_and_how_many_more_there_are() -> None:
    many = letter_of(Said(room=1), *(f"room:{number}" for number in range(7)))
    assert letter_row(0, many).item.addresses == many.addresses
    assert ("for", "room:0, room:1, room:2, room:3, and 3 more") in letter_facts(many)
    assert addresses_in_words(()) == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rooms:1", "there is no topic 'rooms' in this registry; there are room, team."),
        ("room:x", "'room:x' is no address: what follows room: must be a whole number."),
        ("user:x", "'x' is no user id: those are whole numbers"),
        ("room", "'room' is no address: those are user:<id>, room:<key>, team:<key> and everyone."),
        ("", "'' is no address"),
    ],
)
def test_what_is_no_address_is_said_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        buried(FOR_ROOM).resolve(Selection(addresses=(text,)), registry)
    assert str(refused.value).startswith(sentence)


def test_a_near_key_of_the_same_topic_is_offered_and_a_short_one_is_not() -> None:
    shift = letter_of(Alarmed(team="a"), "team:northern-warehouse-night-shift")
    letters = buried(shift, letter_of(Said(room=1), "room:41"))
    with pytest.raises(SettingsError, match="did you mean northern-warehouse-night-shift"):
        letters.resolve(Selection(addresses=("team:northern-warehouse-nigth-shift",)), registry)
    for unlike in ("room:42", "user:41", "team:41"):
        letters.resolve(Selection(addresses=(unlike,)), registry)


def test_a_dry_run_knows_what_any_of_the_addresses_was_told() -> None:
    store = MemoryStore()
    told, new, alarm = Said(room=1, mentioned=(7,), number=1), Said(room=2), Alarmed(team="a", number=3)
    publish(store, told, alarm)
    letters = [letter_of(event) for event in (told, new, alarm, Said(room=-1), replace(alarm, team="b c"))]
    predictor = Predictor(store.event_log, Settings(), registry)
    found = predictor.predict(letters)
    assert [one.expected for one in found] == [
        Expected.DUPLICATE,
        Expected.PUBLISHED,
        Expected.DUPLICATE,
        Expected.SKIPPED,
        Expected.FAILED,
    ]
    assert [found[0].changes, found[2].changes] == [{}, {}]


@pytest.mark.parametrize(
    ("later", "is_superseded"),
    [
        ({"room": 1, "mentioned": (7,)}, True),
        ({"room": 1, "mentioned": (7, 8)}, True),
        ({"room": 1}, False),
        ({"room": 2, "mentioned": (7,)}, False),
        ({"room": 1, "mentioned": (7,), "number": 4}, False),
    ],
)
def test_an_event_is_superseded_where_all_its_addresses_heard_a_newer_one(later: Any, is_superseded: bool) -> None:
    store = MemoryStore()
    ruled = Registry(
        event_types=registry.event_types,
        categories=registry.categories,
        events=registry.events,
        mappings=[replace(row, staleness=Supersede("number")) for row in registry.mappings],
        user_id=int,
        topics=registry.topics,
    )
    older = Said(room=1, mentioned=(7,), number=3, occurred_at=AT)
    publish(store, Said(**{"number": 3, **later}, occurred_at=AT + timedelta(hours=1)))
    staleness = Staleness(store.event_log, Predictor(store.event_log, Settings(), ruled), ruled)
    assert bool(staleness.superseded([letter_of(older)], {})) == is_superseded
