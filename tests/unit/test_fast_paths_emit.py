"""The fast paths of emit say what their slow twins say, and every event of the built-in catalog takes them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NoReturn
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.model.errors import PayloadError
from bridge.model.pipeline import EventCodec, snapshot_taker
from bridge.producer.background_sender import BackgroundSender
from bridge.producer.batching import Accepted, Unwritten, Written
from bridge.producer.emitter import Emitter
from bridge.settings import Settings
from tests.support.strange import REGISTRY, SAMPLES, Nested, Typed, events, fitting

SIZE_MAX = 65_536
CLASSES = [mapping.domain_event_class for mapping in REGISTRY.mappings]
TAKERS = {event_class: snapshot_taker(event_class, SIZE_MAX) for event_class in CLASSES}


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("the slow path was taken")


@pytest.fixture(scope="module")
def emitter() -> Iterator[Emitter]:
    """One that accepts and sends nothing, for which the first event has been accepted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BackgroundSender, "_start", lambda _: True)
        made = Emitter(Settings(), REGISTRY)
        made.emit_many(SAMPLES[:1])
        accepted_by(made)
        yield made
        made.close(0)


def accepted_by(emitter: Emitter) -> list[Accepted]:
    """What was accepted since the last call, as it would be sent."""
    background = emitter._background
    accepted = background.buffer.written(background.buffer.front(None))
    background.progress.note_delivered(background.buffer.clear())
    return accepted


def parsed(envelope: bytes) -> Any:
    """An envelope with its numbers as they are written, and its members in any order."""
    return json.loads(envelope, parse_int=str, parse_float=str)


def facts(accepted: list[Accepted]) -> list[object]:
    return [(one.task, one.queue, one.event_id, one.user, parsed(one.envelope)) for one in accepted]


def written(codec: EventCodec, event: Any) -> bytes | str:
    try:
        return codec.write(event)
    except PayloadError as error:
        return str(error)


@given(event=events())
def test_emit_accepts_and_sends_what_emit_many_does(emitter: Emitter, event: Any) -> None:
    by_emit = emitter.emit(event), facts(accepted_by(emitter))
    by_emit_many = emitter.emit_many((event,)) == 1, facts(accepted_by(emitter))
    assert by_emit == by_emit_many


def test_an_event_without_a_snapshot_is_written_at_once_and_by_emit_alone(
    emitter: Emitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emitter, "emit_many", refuse)
    assert emitter.emit(Nested(names=["a list"]))
    (entry,) = emitter._background.buffer.front(None)
    assert isinstance(entry, Written)
    accepted_by(emitter)


def test_raw_json_may_stand_beside_nothing(emitter: Emitter) -> None:
    assert emitter.emit(Typed(anything=msgspec.Raw(b'{"ratio": 1}'), maybe=None))
    (accepted,) = accepted_by(emitter)
    assert parsed(accepted.envelope)["data"]["anything"] == {"ratio": "1"}


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_emit_of_the_catalogs_events_takes_their_snapshot(
    emitter: Emitter, event: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emitter, "emit_many", refuse)
    monkeypatch.setattr(EventCodec, "write", refuse)
    assert emitter.emit(event)
    (entry,) = emitter._background.buffer.front(None)
    assert isinstance(entry, Unwritten)
    accepted_by(emitter)


@given(event=events())
@example(Typed(ratio=float("inf")))
def test_a_snapshot_is_written_as_the_event_is_and_only_of_what_can_be_written_and_read(event: Any) -> None:
    try:
        snapshot = TAKERS[type(event)](event)
    except UnicodeEncodeError:
        snapshot = None
    if snapshot is None:
        return
    codec = EventCodec(type(event))
    at_once = codec.encode(event, source="shop")
    later = codec.wrap(snapshot, snapshot.event_id, snapshot.occurred_at, source="shop")
    assert parsed(later) == parsed(at_once)
    assert repr(codec.decode(later)) == repr(codec.decode(at_once))


@given(before=st.lists(fitting, max_size=8), event=fitting)
@example([Typed()], Typed(ratio=float("nan")))
def test_a_codec_that_has_written_an_events_types_before_looks_at_its_values_still(
    before: list[Any], event: Any
) -> None:
    codec = EventCodec(type(event))
    for one in before:
        written(codec, one)
    assert written(codec, event) == written(EventCodec(type(event)), event)


@given(before=st.lists(events(), max_size=8), event=events())
def test_a_codec_that_has_written_much_writes_and_refuses_as_a_new_one(before: list[Any], event: Any) -> None:
    codec = EventCodec(type(event))
    for one in before:
        if type(one) is type(event):
            written(codec, one)
    assert written(codec, event) == written(codec, event) == written(EventCodec(type(event)), event)


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_the_catalogs_events_are_looked_at_closer_once(event: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = EventCodec(type(event))
    codec.write(event)
    monkeypatch.setattr(EventCodec, "_look_closer", refuse)
    assert codec.write(replace(event, event_id=UUID(int=1)))
