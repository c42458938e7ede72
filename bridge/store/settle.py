"""Settling: the one script call that publishes a batch, for the worker (sync) and the publisher (async)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import redis

from bridge.events import SSEEvent
from bridge.registry import Audience
from bridge.settings import Settings
from bridge.store import keys
from bridge.store.client import script_text, store_errors, text

BATCH_MAX = 256
"""Events in one script call at the most: a script blocks Redis for about 7 µs an event."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """An event with its address.

    Attributes:
        event: what is published.
        payload: ``event.data`` as one line of JSON.
        user_id: whose channel and stream; None for everybody's.
    """

    event: SSEEvent
    payload: bytes
    user_id: UUID | None

    @classmethod
    def of(cls, event: SSEEvent, payload: bytes, audience: Audience) -> "Parcel":
        """The parcel for an event and its audience."""
        user_id = None if audience is Audience.BROADCAST else event.user_id
        return cls(event=event, payload=payload, user_id=user_id)


class SettleCall:
    """Builds the arguments of ``settle.lua`` and reads its answers."""

    __slots__ = ("_limits",)

    def __init__(self, settings: Settings, *, longest_retry_s: float = 0) -> None:
        self._limits = (
            settings.stream_maxlen,
            settings.stream_ttl_s,
            settings.seen_life_s + max(0, math.ceil(longest_retry_s - settings.longest_retry_s)),
            keys.BROADCAST_STREAM,
        )

    def arguments(
        self, parcels: Sequence[Parcel], *, retried: bool = False
    ) -> tuple[list[str], list[str | int | bytes]]:
        """KEYS and ARGV for a batch; ``retried`` ends the retries of the events that are published."""
        key_list: list[str] = [
            keys.POSITION,
            keys.BROADCAST_TIP,
            keys.COUNTS,
            keys.RETRY_DUE,
            keys.RETRY_RECORDS,
        ]
        arg_list: list[str | int | bytes] = [*self._limits, int(retried)]
        for parcel in parcels:
            event, user_id = parcel.event, parcel.user_id
            event_id = str(event.event_id)
            if user_id is None:
                channel = keys.BROADCAST_CHANNEL
                key_list += (keys.BROADCAST_STREAM, keys.broadcast_seen(event_id))
            else:
                channel = keys.user_channel(user_id)
                key_list += (keys.user_stream(user_id), keys.user_seen(user_id, event_id))
            arg_list += (
                channel,
                event_id,
                event.event_type.value,
                str(event.user_id),
                parcel.payload,
                event.occurred_at.isoformat(),
            )
        return key_list, arg_list

    @staticmethod
    def receipts(answers: Sequence[bytes | str]) -> list[Receipt]:
        """One receipt an event, in the order of the batch."""
        return [_receipt(text(answer)) for answer in answers]


def _receipt(answer: str) -> Receipt:
    if answer.startswith("="):
        return Receipt(status=ReceiptStatus.DUPLICATE, position=answer[1:])
    if answer.startswith("!"):
        return Receipt(status=ReceiptStatus.REFUSED, error=answer[1:])
    return Receipt(status=ReceiptStatus.PUBLISHED, position=answer)


class Settler:
    """The worker's side: publishes batches, synchronously.

    Args:
        client: stays yours to close.
        settings: retention and limits.
        longest_retry_s: how long the most patient mapping may retry; seen marks outlive it.
    """

    def __init__(self, client: redis.Redis, settings: Settings, *, longest_retry_s: float = 0) -> None:
        self._call = SettleCall(settings, longest_retry_s=longest_retry_s)
        self._script = client.register_script(script_text("settle"))

    def settle(self, parcels: Sequence[Parcel], *, retried: bool = False) -> list[Receipt]:
        """Publish each parcel once; one receipt each, in order. Idempotent by event id and user.

        Args:
            parcels: what to publish.
            retried: whether the events may be in the retry set, which they leave in the same step.

        Raises:
            StoreUnavailableError: Redis is away or refuses writes. Part of a batch may be published;
                calling again completes it.
        """
        receipts: list[Receipt] = []
        for start in range(0, len(parcels), BATCH_MAX):
            key_list, arg_list = self._call.arguments(parcels[start : start + BATCH_MAX], retried=retried)
            with store_errors():
                receipts += self._call.receipts(self._script(keys=key_list, args=arg_list))
        return receipts
