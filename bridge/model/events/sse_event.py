"""``SSEEvent``: what is published, stored and shown to one user's browsers."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, Self, cast
from uuid import UUID

import msgspec
from uuid6 import uuid7

from bridge.model.bounds import ENTRY_BYTES_MAX, FIELD_CHARS_MAX, PARSER_ERRORS
from bridge.model.errors import FieldError
from bridge.model.events.json_payload import encode_payload
from bridge.model.events.types import EventType, SSEEventCategory, SSEEventType, utc_now
from bridge.model.position import Position

_WORD = re.compile(rf"[\w.-]{{1,{FIELD_CHARS_MAX}}}", re.ASCII)
NO_USER = UUID(int=0)
"""The user id of a broadcast that names no user, whatever the application's ids are."""
_FIELDS = ("event_id", "event_type", "user_id", "data", "occurred_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class SSEEvent:
    """One Server-Sent Event.

    Attributes:
        event_type: a member of ``SSEEventType``, or of your catalog's own StrEnum.
        user_id: the recipient; routes it to that user's channel and stream. Where a registry says that its
            application's users are numbers or texts it is one of those: see ``Registry.sse_event``.
        data: the payload; becomes one line of JSON.
        event_id: UUIDv7, by default new; the bridge hands on the domain event's own id.
        occurred_at: aware, UTC.

    Raises:
        ValueError: ``user_id`` or ``event_id`` is no UUID, ``event_type`` no StrEnum member or one that
            would break a frame, ``data`` no dict, or ``occurred_at`` not aware.
    """

    event_type: StrEnum
    user_id: UUID
    data: dict[str, Any]
    event_id: UUID = field(default_factory=uuid7)
    occurred_at: datetime = field(default_factory=utc_now)

    def __post_init__(self) -> None:
        # A user id of None or an id that is any string would end up in a Redis key.
        if not isinstance(self.user_id, UUID):
            raise ValueError(f"user_id must be a UUID, not {type(self.user_id).__name__}.")
        if not isinstance(self.event_id, UUID):
            raise ValueError(f"event_id must be a UUID, not {type(self.event_id).__name__}.")
        if not isinstance(self.event_type, StrEnum):
            raise ValueError(f"event_type must be a StrEnum member, not {type(self.event_type).__name__}.")
        word("event_type", self.event_type)  # registries refuse others; an event made by hand has not met one yet
        if not isinstance(self.data, dict):
            raise ValueError(f"data must be a dict, not {type(self.data).__name__}.")
        if not isinstance(self.occurred_at, datetime) or self.occurred_at.utcoffset() is None:
            raise ValueError("occurred_at must be a datetime with a timezone.")

    @property
    def category(self) -> StrEnum:
        """The category that the event type was declared with.

        Raises:
            KeyError: the type is a plain StrEnum of another catalog; ask ``Registry.category_of``.
        """
        return get_category_for_event_type(cast("SSEEventType", self.event_type))

    def to_sse_format(self) -> str:
        """The frame that a browser receives: id, event, one line of data, empty line.

        Raises:
            PayloadError: ``data`` holds what JSON cannot express.
        """
        plain = json.loads(encode_payload(self.data))
        return event_frame(self.event_id, self.event_type.value, json.dumps(plain))

    def to_dict(self) -> dict[str, Any]:
        """A dict of JSON-ready values, whatever ``data`` holds; ``from_dict`` reads it back.

        Raises:
            PayloadError: ``data`` holds what JSON cannot express.
        """
        return {
            "event_id": str(self.event_id),
            "event_type": self.event_type.value,
            "user_id": str(self.user_id),
            "data": json.loads(encode_payload(self.data)),
            "occurred_at": self.occurred_at.isoformat(),
        }

    @classmethod
    def from_dict(
        cls,
        data: dict[str, Any],
        *,
        parse_type: Callable[[str], StrEnum] = SSEEventType,
        parse_user: Callable[[str], Any] = UUID,
    ) -> Self:
        """Read what ``to_dict`` wrote.

        Args:
            data: any value; unknown keys are ignored.
            parse_type: wire name → member; by default of the built-in catalog. Raises ValueError.
            parse_user: text → id; by default a UUID, otherwise ``registry.users.parse``. Raises ValueError.

        Raises:
            KeyError: a field is missing.
            ValueError: a field has a bad value, or ``data`` is no mapping.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"An SSE event is read from a dict, not from {type(data).__name__}.")
        event_id, event_type, user_id, payload, occurred_at = (data[name] for name in _FIELDS)
        if not isinstance(payload, dict):
            raise ValueError(f"data must be a dict, not {type(payload).__name__}.")
        return cls.for_user(
            parse_user(_text("user_id", user_id)),
            event_type=parse_type(_text("event_type", event_type)),
            data=payload,
            event_id=UUID(_text("event_id", event_id)),
            occurred_at=_parse_time(_text("occurred_at", occurred_at)),
        )

    @classmethod
    def for_user(cls, user_id: Any, **others: Any) -> Self:
        """An event for a user whose id, of whatever type, a registry has vouched for; ``others`` as for ``SSEEvent``.

        Raises:
            ValueError: another value is wrong, as for ``SSEEvent``.
        """
        event = cls(user_id=NO_USER, **others)
        object.__setattr__(event, "user_id", user_id)
        return event


def word(name: str, value: object) -> str:
    """A field's text that can stand as it is in JSON, in a frame and in a filter; the script and gateways rely on it.

    A plain one, whatever subclass of ``str`` it was: encoders do not take those, and some print as something else.

    Raises:
        FieldError: it is something else. The sentence has the field's name, and not the text, which may be anybody's.
    """
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise FieldError(f"{name} must be 1 to {FIELD_CHARS_MAX} letters, digits, '_', '-' or dots.")
    return str.__str__(value)


def vouched_event(
    event_type: StrEnum, user_id: Any, data: dict[str, Any], event_id: UUID, occurred_at: datetime
) -> SSEEvent:
    """An SSE event of values for which the caller vouches; a quarter of the time that the checks of SSEEvent take."""
    event = object.__new__(SSEEvent)
    _set_event_type(event, event_type)
    _set_user_id(event, user_id)
    _set_data(event, data)
    _set_event_id(event, event_id)
    _set_occurred_at(event, occurred_at)
    return event


_set_event_id, _set_event_type, _set_user_id, _set_data, _set_occurred_at = (
    vars(SSEEvent)[name].__set__ for name in _FIELDS
)


def columns_of(events: Sequence[SSEEvent]) -> dict[str, list[Any]]:
    """The fields of many events, a list each, but for type and data, which differ by message or are JSON by now."""
    return {
        "event_id": [event.event_id for event in events],
        "user_id": [event.user_id for event in events],
        "occurred_at": [event.occurred_at for event in events],
    }


# The same, read back from a channel or a stream, where a stranger may have written it; and its frame


class StreamedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A published event as a client gets it."""

    event_id: str  # UUIDv7, the frame's id
    event_type: str  # wire name
    payload: str  # one line of JSON
    position: Position  # its place in the order

    @classmethod
    def of(cls, event_id: str, event_type: str, payload: str, position: str) -> "StreamedEvent":
        """An event whose payload came from outside, on one line.

        Raises:
            ValueError: the payload is too large, or the position is none.
        """
        if len(payload) > ENTRY_BYTES_MAX:
            raise ValueError(f"The payload has {len(payload)} characters.")
        if "\n" in payload or "\r" in payload:
            # Legal between JSON tokens, but a line break here would end the SSE field.
            payload = msgspec.json.format(payload, indent=-1)
        return cls(event_id=event_id, event_type=event_type, payload=payload, position=Position(position))

    def to_sse_format(self) -> str:
        """As ``SSEEvent.to_sse_format``."""
        return event_frame(self.event_id, self.event_type, self.payload)


def event_frame(event_id: UUID | str, event_type: str, payload_json: str) -> str:
    """One event as a frame: id line, event line, one data line, empty line.

    Nothing can inject a field: ids are UUIDs, types are a registry's or look like one's, JSON was put on one line.
    """
    return f"id: {event_id}\nevent: {event_type}\ndata: {payload_json}\n\n"


class _ChannelMessage(msgspec.Struct):
    event_id: UUID
    event_type: str
    data: msgspec.Raw
    position: str


_message_decoder = msgspec.json.Decoder(_ChannelMessage)


def read_message(message: bytes | str) -> StreamedEvent:
    """The event in a pub/sub message.

    Raises:
        ValueError: it is none of ours.
    """
    try:
        if len(message) > ENTRY_BYTES_MAX:
            raise ValueError(f"it has {len(message)} bytes")
        fields = _message_decoder.decode(message)
        return StreamedEvent.of(str(fields.event_id), fields.event_type, bytes(fields.data).decode(), fields.position)
    except PARSER_ERRORS as error:
        raise ValueError(f"This is no published event: {error}.") from error


def read_entry(fields: Mapping[str, str], position: str) -> StreamedEvent:
    """The event in a stream's entry.

    Raises:
        KeyError: it is none of ours.
        ValueError: the same.
    """
    return StreamedEvent.of(str(UUID(fields["event_id"])), fields["event_type"], fields["data"], position)


_EVENT_TYPE_TO_CATEGORY: dict[SSEEventType, SSEEventCategory] = {
    event_type: cast("SSEEventCategory", event_type.category) for event_type in SSEEventType
}
"""Derived: a type is declared once, together with its category."""


def get_category_for_event_type(event_type: SSEEventType) -> SSEEventCategory:
    """The category an event type was declared with.

    Args:
        event_type: a member, or the wire name of a type of the built-in catalog.

    Raises:
        KeyError: it is no such name, or a member that carries no category (a plain StrEnum of another catalog).
    """
    if isinstance(event_type, EventType):
        return cast("SSEEventCategory", event_type.category)
    if isinstance(event_type, Enum) or not isinstance(event_type, str):
        raise KeyError(event_type)
    return _EVENT_TYPE_TO_CATEGORY[event_type]


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string, not {type(value).__name__}.")
    return value


def _parse_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("occurred_at must carry a UTC offset.")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("occurred_at is out of range.") from error
