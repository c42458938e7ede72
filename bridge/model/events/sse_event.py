"""``SSEEvent``: what is published, stored and shown to one user's browsers."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any, Self, cast
from uuid import UUID

from uuid6 import uuid7

from bridge.model.event_log import event_frame
from bridge.model.events.json_payload import encode_payload
from bridge.model.events.types import EventType, SSEEventCategory, SSEEventType, utc_now

_WIRE_SAFE = re.compile(r"[\w.-]+", re.ASCII)
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
        if not _WIRE_SAFE.fullmatch(self.event_type):
            # Registries refuse such names; an event made by hand has not met one yet.
            raise ValueError(f"event_type must consist of letters, digits, '_', '-' and dots, not {self.event_type!r}.")
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
