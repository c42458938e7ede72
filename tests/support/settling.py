"""``Settler`` with receipts: settles the way the worker does, and looks in Redis what became of each event.

And events to settle, and what one sees of them.
"""

import time
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import redis

from bridge import User
from bridge.model.events import SSEEvent, SSEEventType, encode_payload
from bridge.model.publishing import AddressedEvent, Delivery, Receipt, ReceiptStatus
from bridge.redis_adapter import Keyspace
from bridge.redis_adapter import Settler as WorkersSettler
from bridge.redis_adapter.client import store_errors
from bridge.settings import Settings
from tests.support import keys
from tests.support.waiting import PATIENCE

USER, OTHER = UUID("01890a5d-ac96-774b-bcce-b302099a8001"), UUID("01890a5d-ac96-774b-bcce-b302099a8002")


class Settler(WorkersSettler):
    """The worker's, and how tests ask it."""

    def __init__(self, client: redis.Redis, settings: Settings, *, longest_retry_s: float = 0) -> None:
        super().__init__(client, settings, longest_retry_s=longest_retry_s)
        self._redis, self._keys = client, Keyspace.of(settings)

    def settle(self, deliveries: Sequence[Delivery]) -> list[Receipt]:
        """Publish, and tell of each event what its seen mark says."""
        events = [event for delivery in deliveries for event in delivery.events]
        marks = [self._mark(event) for event in events]
        before = {mark for mark, position in zip(marks, self._positions(marks), strict=True) if position}
        unpublished = self.prepare(deliveries).unpublished()
        receipts = []
        for place, (mark, position) in enumerate(zip(marks, self._positions(marks), strict=True)):
            if place in unpublished and not unpublished[place].ok:
                receipts.append(unpublished[place])
                continue
            assert position, mark
            status = ReceiptStatus.DUPLICATE if mark in before else ReceiptStatus.PUBLISHED
            receipts.append(Receipt(status=status, position=position.decode()))
            before.add(mark)
            assert (place in unpublished) == (status is ReceiptStatus.DUPLICATE)
        return receipts

    def _mark(self, event: AddressedEvent) -> str:
        return self._keys.seen(event.told[0], event.event.event_id)

    def _positions(self, marks: Sequence[str]) -> list[bytes | None]:
        with store_errors():
            return cast("list[bytes | None]", self._redis.mget(marks)) if marks else []


def an_event(user_id: UUID = USER, **data: Any) -> SSEEvent:
    return SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=user_id, data=data)


def addressed(event: SSEEvent, user_id: UUID | None = USER) -> AddressedEvent:
    return AddressedEvent(event=event, payload=encode_payload(event.data), user_id=user_id)


def several(number: int, user_id: UUID | None = USER) -> list[AddressedEvent]:
    return [addressed(an_event(number=index), user_id) for index in range(number)]


def entries(client: redis.Redis, user_id: UUID | None = USER) -> list[tuple[str, dict[str, str]]]:
    stream = keys.BROADCAST_STREAM if user_id is None else keys.stream(User(user_id))
    return cast("list[tuple[str, dict[str, str]]]", client.xrange(stream))


def read_all(subscriber: Any, number: int, *, within_s: float = 5.0) -> list[str]:
    """The data of the next messages."""
    messages: list[str] = []
    deadline = time.monotonic() + within_s * PATIENCE
    while len(messages) < number:
        assert time.monotonic() < deadline, f"only {len(messages)} of {number} messages came"
        message = subscriber.get_message(timeout=0.1)
        if message and message["type"].endswith("message"):
            messages.append(message["data"])
    return messages
