"""Operators of a catalog with topics: where an event was told, what a redrive would do, and what supersedes what."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge import Registry, Settings, Supersede
from bridge.cli.trace import describe
from bridge.model.dead_letter import DeadLetter
from bridge.model.pipeline import EventCodec
from bridge.operations import Tracer
from bridge.operations.dry_run import Expected, Predictor
from bridge.operations.staleness import Staleness
from bridge.testing import MemoryStore
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from tests.support.rooms_catalog import Alarmed, Said, registry
from tests.support.telling import letter

AT = datetime(2026, 11, 1, tzinfo=UTC)


def letter_of(event: Any) -> DeadLetter:
    made = letter(str(event.event_id))
    values = {name: getattr(made, name) for name in made.__struct_fields__}
    envelope = EventCodec(type(event)).encode(event, source="test").decode()
    return DeadLetter(**{**values, "task": f"bridge.{type(event).__name__}", "envelope": envelope, "user_id": ""})


def publish(store: MemoryStore, *events: Any) -> None:
    for event in events:
        raw = EventCodec(type(event)).encode(event, source="test")
        mapping = registry.by_class[type(event)]
        job = Job(mapping=mapping, envelopes=[_decoded(raw)], attempt=1, message_id=str(event.event_id), booked_as="")
        Handler(Settings(), registry, store.worker_ports).run([job])


def _decoded(raw: bytes) -> Any:
    import msgspec

    return msgspec.json.decode(raw)


def test_a_trace_shows_each_address_that_was_told() -> None:
    store, event = MemoryStore(), Said(room=1, by=5, mentioned=(7,))
    publish(store, event)
    places = [describe(place) for place in Tracer(store.operators_store).trace(event.event_id)]
    assert [(place["address"], place["user_id"], place["broadcast"], place["in_stream"]) for place in places] == [
        ("room:1", None, False, True),
        ("user:7", "7", False, True),
    ]


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
