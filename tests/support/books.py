"""Parcels, and deliveries for tests that settle events without a message."""

from collections.abc import Iterable
from itertools import groupby
from uuid import uuid4

from bridge import SSEEvent, SSEEventType
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery


def parcels(number: int) -> list[AddressedEvent]:
    """New events of one user."""
    user_id = uuid4()
    events = [SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=user_id, data={}) for _ in range(number)]
    return [AddressedEvent(event=event, payload=b"{}", user_id=user_id) for event in events]


def direct(parcels: Iterable[AddressedEvent]) -> list[Delivery]:
    """Events that were handed over without a message, in order."""
    return _deliveries(parcels, DIRECT)


def waiting(parcels: Iterable[AddressedEvent]) -> list[Delivery]:
    """Events that come from the retry set, in order."""
    return _deliveries(parcels, "")


def _deliveries(parcels: Iterable[AddressedEvent], message_id: str) -> list[Delivery]:
    runs = groupby(parcels, key=lambda parcel: parcel.event.event_type.value)
    return [Delivery(event_type=kind, events=list(run), message_id=message_id) for kind, run in runs]
