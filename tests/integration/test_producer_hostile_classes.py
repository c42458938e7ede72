"""Events whose class runs code of its own wherever Python allows it: emit refuses them by name, and never raises."""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pytest

from bridge import Emitter, EventRefusedError, Registry, Settings, SSEEventHandler
from bridge.model.events import DomainEvent
from bridge.model.registry import DomainToSSEMapping, SSEEventMetadata
from tests.support.naming import shown


class BoomError(Exception):
    """Cannot be looked at."""

    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    def __str__(self) -> str:
        raise RuntimeError("no text")


def boom(*_: object) -> Any:
    raise BoomError


def raising(*methods: str, of: type = type) -> Any:
    """A class whose own class raises in these methods; with ``of`` object, whose instances do."""
    if of is object:
        return type("Hostile", (), dict.fromkeys(methods, boom))
    return type("Meta", (type,), dict.fromkeys(methods, boom))("Hostile", (), {})


# Made when they are wanted: pytest looks into whatever it is given.
HOSTILE: dict[str, Callable[[], Any]] = {
    "hash of the class": lambda: raising("__hash__"),
    "comparison of the class": lambda: raising("__eq__"),
    "attributes of the class": lambda: raising("__getattribute__", "__hash__"),
    "attributes and text of the class": lambda: raising("__getattribute__", "__repr__", "__str__", "__instancecheck__"),
    "attributes of the event": lambda: raising("__getattribute__", of=object),
    "everything of the event": lambda: raising(
        "__getattribute__", "__eq__", "__hash__", "__repr__", "__bool__", of=object
    ),
    "class of the event": lambda: type("Hostile", (), {"__class__": property(boom)}),
    "module that is no text": lambda: type(
        "Hostile", (), {"__module__": raising("__format__", "__str__", of=object)()}
    ),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_class_is_no_reason_to_raise(
    settings: Settings, make: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    hostile = make()
    emitter = Emitter(settings)
    try:
        assert emitter.emit(hostile()) is False
        assert emitter.emit_many([hostile()]) == 0
        assert emitter.counts["unmapped"] + emitter.counts["refused"] == 2
        assert "Hostile" in caplog.text
    finally:
        emitter.close(0)
    await SSEEventHandler(publisher=None).handle(hostile())  # type: ignore[arg-type]  # never reached


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_a_strict_emitter_refuses_a_hostile_class(settings: Settings, make: Callable[[], Any]) -> None:
    emitter = Emitter(settings, strict=True)
    try:
        with pytest.raises(EventRefusedError, match=r"Hostile|mapping"):
            emitter.emit(make()())
    finally:
        emitter.close(0)


class Kind(StrEnum):
    NOTED = "note.noted"


class Category(StrEnum):
    NOTE = "note"


@dataclass(frozen=True, kw_only=True)
class Noted(DomainEvent):
    text: str = ""
    texts: list[str] | None = None
    by_name: dict[str, str] | None = None
    raw: bytes = b""
    anything: Any = None


REGISTRY = Registry(
    event_types=Kind,
    categories=Category,
    events=[SSEEventMetadata(event_type=Kind.NOTED, category=Category.NOTE, description="x", payload_fields=("text",))],
    mappings=[
        DomainToSSEMapping(
            domain_event_class=Noted,
            sse_event_type=Kind.NOTED,
            user_id_extractor=lambda event: event.user_id,
            payload_extractor=lambda event: {"text": event.text},
        )
    ],
)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", ["__getattribute__", "__eq__", "__hash__"])
def test_a_mapped_class_that_turns_hostile_raises_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, strict: bool, name: str
) -> None:
    emitter = Emitter(settings, REGISTRY, strict=strict)
    try:
        assert emitter.emit(Noted(user_id=uuid4())) is True
        assert emitter.flush()
        event = Noted(user_id=uuid4())
        monkeypatch.setattr(Noted, name, boom)
        with pytest.raises(EventRefusedError) if strict and name == "__getattribute__" else nullcontext():
            assert emitter.emit(event) is (name != "__getattribute__")
        assert emitter.flush()
    finally:
        monkeypatch.undo()
        emitter.close(0)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": b"hello"},
        {"text": bytearray(b"hello")},
        {"text": memoryview(b"hello")},
        {"texts": ["a", b"b"]},
        {"by_name": {"a": b"b"}},
    ],
    ids=shown,
)
def test_bytes_where_text_is_wanted_are_refused(
    settings: Settings, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    emitter = Emitter(settings, REGISTRY)
    try:
        assert emitter.emit(Noted(user_id=uuid4(), **fields)) is False
        assert emitter.counts["refused"] == 1
        assert "does not fit Noted" in caplog.text
        assert "Expected `str`" in caplog.text
    finally:
        emitter.close(0)


@pytest.mark.parametrize(
    "fields",
    [
        {"raw": b"hello"},
        {"raw": bytearray(b"hello"), "texts": ["ą", "Ä", "ń"]},
        {"anything": b"as Base64"},
        {"anything": [b"\xc4"], "by_name": {"ą": "ł"}, "text": "ą"},
        {"anything": 2**80, "texts": ["ą"]},
    ],
    ids=shown,
)
def test_bytes_that_fit_are_accepted(settings: Settings, fields: dict[str, Any]) -> None:
    emitter = Emitter(settings, REGISTRY)
    try:
        assert emitter.emit(Noted(user_id=uuid4(), **fields)) is True
        assert emitter.flush()
    finally:
        emitter.close(0)
