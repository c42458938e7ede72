"""What fits a class by its types alone is decoded by the worker; what does not is never said to fit."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import attrs
import msgspec
import pytest
import uuid6

from bridge.model.errors import PayloadError
from bridge.model.pipeline import EventCodec, snapshot_taker


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


@dataclass
class Inner:
    number: int


VALUES: list[Any] = [
    None,
    True,
    0,
    7,
    2**70,
    1.0,
    1.5,
    "",
    "good",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "2026-01-01",
    "1.5",
    uuid4(),
    uuid6.uuid7(),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1),
    date(2026, 1, 1),
    time(1, 2),
    timedelta(seconds=3),
    Decimal("1.5"),
    Mood.GOOD,
    Rights.READ,
    Rights.READ | Rights.WRITE,
    Inner(1),
    Inner("x"),  # type: ignore[arg-type]
    msgspec.Raw(b"{"),
    msgspec.Raw(b"1"),
    msgspec.UNSET,
    [1],
    ["x"],
    {"x": 1},
    b"x",
]
TYPES: list[Any] = [
    str,
    int,
    bool,
    float,
    UUID,
    datetime,
    date,
    time,
    timedelta,
    Decimal,
    Mood,
    Rights,
    Inner,
    Any,
    None,
    str | None,
    int | str,
    float | None,
    UUID | None,
    Mood | None,
    list[int],
    dict[str, int],
    bytes,
    Literal["good", "other"],
    Literal["good", 7] | None,
    Annotated[int, msgspec.Meta(ge=5)],
    Annotated[str, msgspec.Meta(min_length=3)],
    Annotated[datetime, msgspec.Meta(tz=True)],
]


def _class_with(kind: Any) -> Callable[[Any], Any]:
    @dataclass
    class Made:
        value: kind
        event_id: UUID = field(default_factory=uuid4)
        occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    return Made


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_emit_accepts_exactly_what_the_worker_can_read(kind: Any) -> None:
    made = _class_with(kind)
    codec = EventCodec(made)  # type: ignore[arg-type]
    take = snapshot_taker(made, 60_000)  # type: ignore[arg-type]
    for value in VALUES * 2:  # the second time from what is remembered
        event = made(value)
        try:
            read = codec.decode(
                codec.wrap(msgspec.Raw(msgspec.json.encode(event)), event.event_id, event.occurred_at, source="s")
            )
            # Bytes travel as Base64, which a field of text would take for what was meant.
            readable = kind is Any or not isinstance(value, bytes) or isinstance(read.value, bytes)
        except Exception:
            readable = False
        try:
            codec.write(event)
            written = True
        except PayloadError as error:
            written = False
            assert "value" in str(error) or "fit" in str(error)
        assert written == readable, (kind, value)
        assert readable or take(event) is None, (kind, value)


@attrs.define
class Private:
    _owner: UUID
    event_id: UUID = attrs.field(factory=uuid4)
    occurred_at: datetime = attrs.field(factory=lambda: datetime.now(UTC))


def test_what_is_not_written_although_the_worker_wants_it_is_refused() -> None:
    codec = EventCodec(Private)
    for _ in range(2):  # the second time from what is remembered
        with pytest.raises(PayloadError, match="_owner"):
            codec.write(Private(uuid4()))
