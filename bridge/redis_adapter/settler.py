"""``Settler`` publishes and accounts for batches, a script call each; Redis may work on one while another is made."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import redis

from bridge.model.events.sse_event import columns_of
from bridge.model.publishing import AddressedEvent, Delivery, Receipt, ReceiptStatus
from bridge.model.registry import Address, Everyone, Retention, User
from bridge.model.registry.addresses import ADDRESSES_MAX
from bridge.redis_adapter.client import store_errors, text
from bridge.redis_adapter.keyspace import Keyspace, up_to_user
from bridge.redis_adapter.script import Call, PipelinedScriptCall, script
from bridge.redis_adapter.task_queue import ID_BYTES
from bridge.settings import WorkerSettings

BATCH_MAX = 500
"""Events in one script call at most, one for several addresses as so many: it blocks Redis for about 7 µs each."""
SKIPPED_MAX = 10_000
"""Skipped events that are remembered, so that `sse-bridge trace` can tell what became of them."""
TIME_BYTES = 13
"""What stands before a blank in a message's record."""

Answer: TypeAlias = bytes | str | Sequence[bytes | str]
"""What the script says: the first position, or one string an event."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A delivery without its events, as ``settle.lua`` reads it."""

    id: str
    record_bytes: int
    event_type: str
    events: int
    skipped: Sequence[str]
    metrics: Sequence[tuple[str, int]]
    retention: tuple[str, int, int] | None = None


class SettleCall:
    """Builds the arguments of ``settle.lua`` and reads its answers."""

    __slots__ = ("_keys", "_limits", "_settings")

    def __init__(self, settings: WorkerSettings, *, longest_retry_s: float = 0) -> None:
        keys = Keyspace.of(settings)
        self._settings = settings
        self._keys = script("settle").keys(keys)
        self._limits: tuple[str | int, ...] = (
            settings.stream_maxlen,
            settings.stream_ttl_s,
            settings.seen_life_s + max(0, math.ceil(longest_retry_s - settings.longest_retry_s)),
            SKIPPED_MAX,
            keys.BROADCAST_CHANNEL,
            *map(up_to_user, (keys.USER_CHANNEL, keys.USER_STREAM, keys.SEEN)),
            *map(up_to_user, (keys.TOPIC_CHANNEL, keys.TOPIC_STREAM, keys.TOPIC_SEEN)),
        )

    def arguments(self, deliveries: Sequence[Delivery]) -> Call:
        """KEYS and ARGV for a batch."""
        messages = [
            _Message(
                id=delivery.message_id,
                record_bytes=_record_bytes(delivery),
                event_type=delivery.event_type,
                events=len(delivery.events),
                skipped=delivery.skipped,
                metrics=delivery.metrics,
                retention=self._kept(delivery.retention),
            )
            for delivery in deliveries
        ]
        addressed = [event for delivery in deliveries for event in delivery.events]
        return Call(self._keys, (*self._limits, _encoder.encode({"messages": messages, **_columns(addressed)})))

    def _kept(self, retention: Retention | None) -> tuple[str, int, int] | None:
        """Name, length and life in s of a class of retention; None: kept as the settings say, or not at all."""
        settings = self._settings
        if retention is None or not settings.retention:
            return None
        return retention.name, retention.length or settings.stream_maxlen, retention.life_s(settings.stream_ttl_s)

    @staticmethod
    def receipts(answer: Answer, number: int) -> list[Receipt]:
        """One receipt an event, in the order of the batch."""
        if not isinstance(answer, bytes | str):
            return [_receipt(text(one)) for one in answer]
        ms, _, seq = text(answer).partition("-")
        first = int(seq)
        return [
            Receipt(status=ReceiptStatus.PUBLISHED, position=f"{ms}-{place}") for place in range(first, first + number)
        ]

    @staticmethod
    def unpublished(answer: Answer) -> dict[int, Receipt]:
        """Place in the batch → receipt, of the events that were not published now."""
        if isinstance(answer, bytes | str):
            return {}
        answers = enumerate(map(text, answer))
        return {place: _receipt(words) for place, words in answers if words.startswith((_DUPLICATE, _REFUSED))}


_EVERYBODY, _ITS_USER = 0, 1
_DUPLICATE, _REFUSED = "=", "!"
_encoder = msgspec.msgpack.Encoder()
_json_encoder = msgspec.json.Encoder()
_texts = msgspec.json.Decoder(list[str])


def _record_bytes(delivery: Delivery) -> int:
    """How long the message's record is, as long as no event was taken from it; 0 unless all of it ends here."""
    if delivery.whole is None:
        return 0
    task, queue = delivery.whole
    events = len(delivery.events) + len(delivery.skipped)
    return TIME_BYTES + 1 + len(task.encode()) + 1 + len(queue.encode()) + 1 + ID_BYTES * events


def _columns(addressed: Sequence[AddressedEvent]) -> dict[str, list[Any]]:
    """What ``settle.lua`` is told of the events, by name. Lists, because a map for each event takes longer to read."""
    columns = columns_of([one.event for one in addressed])
    users = columns["user_id"]
    columns["to"] = [
        _EVERYBODY if to is None else _ITS_USER if to is user else str(to)
        for to, user in zip([one.user_id for one in addressed], users, strict=True)
    ]
    told = [one.addresses for one in addressed]
    if any(told):
        columns["to"] = [_places(to) if to else other for to, other in zip(told, columns["to"], strict=True)]
    columns["data"] = [one.payload.decode() for one in addressed]
    columns["occurred_at"] = _moments(columns["occurred_at"])
    if {type(user) for user in users} - {UUID}:
        # Lua rounds large numbers, and a text may hold quotes.
        columns["user_id"] = [str(user) for user in users]
        columns["user_json"] = [msgspec.json.encode(str(user))[1:-1].decode() for user in users]
    return columns


def _places(addresses: Sequence[Address]) -> int | str | list[int | str]:
    """Addresses as ``settle.lua`` is told them."""
    places = [*map(_place, addresses)]
    return places if len(places) > 1 else places[0]


def _place(address: Address) -> int | str:
    if isinstance(address, Everyone):
        return _EVERYBODY
    return str(address.id) if isinstance(address, User) else f"{{{address}"


def _moments(moments: Sequence[datetime]) -> list[str]:
    """``isoformat()`` of when each event occurred; of many moments in UTC at once, an eighth of the time."""
    if all(moment.tzinfo is UTC for moment in moments):
        try:  # a context manager would cost a small batch more than the rest
            return _texts.decode(_json_encoder.encode(moments).replace(b'Z"', b'+00:00"'))
        except TypeError:  # a subclass of datetime, which msgspec does not write
            pass
    return [moment.isoformat() for moment in moments]


def _receipt(answer: str) -> Receipt:
    if answer.startswith(_DUPLICATE):
        return Receipt(status=ReceiptStatus.DUPLICATE, position=answer[1:])
    if answer.startswith(_REFUSED):
        return Receipt(status=ReceiptStatus.REFUSED, error=answer[1:])
    return Receipt(status=ReceiptStatus.PUBLISHED, position=answer)


class Settler:
    """``bridge.ports.Publisher`` on Redis; safe with threads. The client stays its owner's to close.

    ``longest_retry_s`` is how long the most patient mapping may retry; seen marks outlive it.
    """

    def __init__(self, client: redis.Redis, settings: WorkerSettings, *, longest_retry_s: float = 0) -> None:
        self._client = client
        self._call = SettleCall(settings, longest_retry_s=longest_retry_s)

    def prepare(self, deliveries: Sequence[Delivery]) -> "PendingPublish":
        """Makes the calls of up to BATCH_MAX events each, and takes a connection; sends nothing."""
        batches = [(self._call.arguments(batch), _events_in(batch)) for batch in _batches(deliveries)]
        return PendingPublish(self._client, batches)


class PendingPublish:
    """Batches that are about to be published and accounted for: the call of each, and how many events it has."""

    def __init__(self, client: redis.Redis, batches: Sequence[tuple[Call, int]]) -> None:
        self._client = client
        self._batches = batches
        with store_errors():
            self._first = PipelinedScriptCall(script("settle"), client, batches[0][0]) if batches else None
        self._begun = False

    def begin(self) -> None:
        """Send the first call. Idempotent."""
        if self._first is not None and not self._begun:
            self._begun = True
            with store_errors():
                self._first.send()

    def unpublished(self) -> dict[int, Receipt]:
        """As ``bridge.ports.PendingPublish.unpublished``. A receipt an event would cost more than all the rest."""
        self.begin()
        unpublished: dict[int, Receipt] = {}
        start = 0
        for call, events in self._batches:
            with store_errors():
                if self._first is None:
                    self._first = PipelinedScriptCall(script("settle"), self._client, call)
                    self._first.send()
                sent, self._first = self._first, None
                answer = sent.answer()
            unpublished |= {start + place: receipt for place, receipt in SettleCall.unpublished(answer).items()}
            start += events
        return unpublished

    def abandon(self) -> None:
        """Close the connection of a call that is under way. Idempotent."""
        if self._first is not None:
            self._first.abandon()
            self._first = None


def _events_in(batch: Sequence[Delivery]) -> int:
    return sum(len(delivery.events) for delivery in batch)


def _size(delivery: Delivery) -> int:
    """For how many events it counts: one that goes to several addresses is written as often."""
    several = sum(len(one.addresses) - 1 for one in delivery.events if one.addresses)
    return len(delivery.events) + len(delivery.skipped) + several


def _batches(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """As many deliveries together as one call may take."""
    batch: list[Delivery] = []
    room = BATCH_MAX
    for delivery in deliveries:
        for piece in _pieces(delivery):
            size = _size(piece)
            if batch and size > room:
                yield batch
                batch, room = [], BATCH_MAX
            batch.append(piece)
            room -= size
    if batch:
        yield batch


def _pieces(delivery: Delivery) -> Iterator[Delivery]:
    """A delivery, cut if it is larger than one call may be. The pieces of one do not end it as a whole."""
    size = _size(delivery)
    if size <= BATCH_MAX:
        yield delivery
        return
    nothing = replace(delivery, whole=None, events=(), skipped=(), metrics=())
    most = BATCH_MAX // ADDRESSES_MAX if size > len(delivery.events) + len(delivery.skipped) else BATCH_MAX
    for start in range(0, len(delivery.events), most):
        metrics = delivery.metrics if start == 0 else ()
        yield replace(nothing, events=delivery.events[start : start + most], metrics=metrics)
    for start in range(0, len(delivery.skipped), BATCH_MAX):
        yield replace(nothing, skipped=delivery.skipped[start : start + BATCH_MAX])
