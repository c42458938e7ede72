"""Settling: what is handed over, and the arguments and answers of the one script call that publishes a batch; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from bridge.model.events import SSEEvent
from bridge.model.registry import Addressing, Audience
from bridge.model.registry.identifiers import Id
from bridge.redis_adapter.client import text
from bridge.redis_adapter.keyspace import Keyspace, up_to_user
from bridge.redis_adapter.script import Call, script
from bridge.settings import Settings

BATCH_MAX = 500
"""Events in one script call at the most: a script blocks Redis for about 7 µs an event."""
SKIPPED_MAX = 10_000
"""Skipped events that are remembered, so that `sse-bridge trace` can tell what became of them."""
DIRECT = "-"
"""Stands for the message where events were handed over without one."""


class ReceiptStatus(StrEnum):
    """What happened to an event that was handed to Redis."""

    PUBLISHED = "published"
    """It is in the stream and on the channel."""
    DUPLICATE = "duplicate"
    """It had been published before; nothing changed."""
    REFUSED = "refused"
    """Redis refused this event for good: its keys hold something else."""
    FAILED = "failed"
    """Redis could not be reached, or the event could not be written; it is not published."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What happened to one event.

    Attributes:
        status: see ReceiptStatus.
        position: its place in the order of all events, ``<ms>-<seq>``; also for a duplicate.
        error: why it was refused or failed.
    """

    status: ReceiptStatus
    position: str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the event is published, now or before."""
        return self.status in (ReceiptStatus.PUBLISHED, ReceiptStatus.DUPLICATE)


class AddressedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its address. A Struct, because one is made for every event.

    Attributes:
        event: what is published.
        payload: ``event.data`` as one line of JSON.
        user_id: whose channel and stream; None for everybody's.
    """

    event: SSEEvent
    payload: bytes
    user_id: Id | None

    @classmethod
    def of(cls, event: SSEEvent, payload: bytes, audience: Audience | Addressing) -> "AddressedEvent":
        """An event, addressed to its audience."""
        user_id = None if audience is Audience.BROADCAST else event.user_id
        return cls(event=event, payload=payload, user_id=user_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What one message brought, and what is to be done with it.

    Attributes:
        event_type: of its events.
        events: the events to publish.
        message_id: under which the message is in the books; empty if its events are waiting retries or
            replayed letters; DIRECT if there was no message.
        record_bytes: length of the message's record as long as no event was taken from it, if every event
            of the message ends here; otherwise 0.
        skipped: ids of the events that have nobody to tell.
        metrics: what else to count, if anything is published: name and by how much.
    """

    event_type: str
    events: Sequence[AddressedEvent]
    message_id: str = ""
    record_bytes: int = 0
    skipped: Sequence[str] = ()
    metrics: Sequence[tuple[str, int]] = ()


Answer: TypeAlias = bytes | str | Sequence[bytes | str]
"""What the script says: the first position, or one string an event."""


class _Message(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery without its events, as ``settle.lua`` reads it."""

    id: str
    record_bytes: int
    event_type: str
    events: int
    skipped: Sequence[str]
    metrics: Sequence[tuple[str, int]]


class SettleCall:
    """Builds the arguments of ``settle.lua`` and reads its answers."""

    __slots__ = ("_keys", "_limits")

    def __init__(self, settings: Settings, *, longest_retry_s: float = 0) -> None:
        keys = Keyspace.of(settings)
        self._keys = script("settle").keys(keys)
        self._limits: tuple[str | int, ...] = (
            settings.stream_maxlen,
            settings.stream_ttl_s,
            settings.seen_life_s + max(0, math.ceil(longest_retry_s - settings.longest_retry_s)),
            SKIPPED_MAX,
            keys.BROADCAST_CHANNEL,
            *(up_to_user(pattern) for pattern in (keys.USER_CHANNEL, keys.USER_STREAM, keys.SEEN)),
        )

    def arguments(self, deliveries: Sequence[Delivery]) -> Call:
        """KEYS and ARGV for a batch."""
        messages = [
            _Message(
                id=delivery.message_id,
                record_bytes=delivery.record_bytes,
                event_type=delivery.event_type,
                events=len(delivery.events),
                skipped=delivery.skipped,
                metrics=delivery.metrics,
            )
            for delivery in deliveries
        ]
        addressed = [event for delivery in deliveries for event in delivery.events]
        return Call(self._keys, (*self._limits, _encoder.encode({"messages": messages, **_columns(addressed)})))

    @staticmethod
    def receipts(answer: Answer, number: int) -> list[Receipt]:
        """One receipt an event, in the order of the batch.

        Args:
            answer: of the script.
            number: of events in the batch.
        """
        if not isinstance(answer, bytes | str):
            return [_receipt(text(one)) for one in answer]
        ms, _, seq = text(answer).partition("-")
        first = int(seq)
        return [
            Receipt(status=ReceiptStatus.PUBLISHED, position=f"{ms}-{place}") for place in range(first, first + number)
        ]

    @staticmethod
    def refusals(answer: Answer) -> dict[int, str]:
        """Place in the batch → Redis' words, for the events that it refused."""
        if isinstance(answer, bytes | str):
            return {}
        answers = map(text, answer)
        return {place: words[1:] for place, words in enumerate(answers) if words.startswith(_REFUSED)}


_EVERYBODY, _ITS_USER = 0, 1
_DUPLICATE, _REFUSED = "=", "!"
_encoder = msgspec.msgpack.Encoder()
_json_encoder = msgspec.json.Encoder()


def _columns(addressed: Sequence[AddressedEvent]) -> dict[str, Sequence[Any]]:
    """What ``settle.lua`` is told of the events, by name. Lists, because a map for each event takes longer to read."""
    events = [one.event for one in addressed]
    users = [event.user_id for event in events]
    columns: dict[str, Sequence[Any]] = {
        "to": [
            _EVERYBODY if to is None else _ITS_USER if to is user else str(to)
            for to, user in zip([one.user_id for one in addressed], users, strict=True)
        ],
        "event_id": [event.event_id for event in events],
        "user_id": users,
        "data": [one.payload.decode() for one in addressed],
        "occurred_at": _moments([event.occurred_at for event in events]),
    }
    if {type(user) for user in users} - {UUID}:
        # Lua rounds large numbers, and a text may hold quotes.
        columns["user_id"] = [str(user) for user in users]
        columns["user_json"] = [msgspec.json.encode(str(user))[1:-1].decode() for user in users]
    return columns


def _moments(moments: Sequence[datetime]) -> list[str]:
    """``isoformat()`` of when each event occurred; of many moments in UTC at once, an eighth of the time."""
    if any(moment.tzinfo is not UTC for moment in moments):
        return [moment.isoformat() for moment in moments]
    return msgspec.json.decode(_json_encoder.encode(moments).replace(b'Z"', b'+00:00"'), type=list[str])


def _receipt(answer: str) -> Receipt:
    if answer.startswith(_DUPLICATE):
        return Receipt(status=ReceiptStatus.DUPLICATE, position=answer[1:])
    if answer.startswith(_REFUSED):
        return Receipt(status=ReceiptStatus.REFUSED, error=answer[1:])
    return Receipt(status=ReceiptStatus.PUBLISHED, position=answer)
