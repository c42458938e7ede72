"""Addressed events, and deliveries for tests that settle events without a message."""

from collections.abc import Iterable
from itertools import groupby
from uuid import uuid4

from bridge import SSEEvent, SSEEventType
from bridge.model.publishing import DIRECT, AddressedEvent, Delivery


def several(number: int) -> list[AddressedEvent]:
    """New events of one user."""
    user_id = uuid4()
    events = [SSEEvent(event_type=SSEEventType.IMPORT_STARTED, user_id=user_id, data={}) for _ in range(number)]
    return [AddressedEvent(event=event, payload=b"{}", user_id=user_id) for event in events]


def direct(addressed_events: Iterable[AddressedEvent]) -> list[Delivery]:
    """Events that were handed over without a message, in order."""
    return _deliveries(addressed_events, DIRECT)


def waiting(addressed_events: Iterable[AddressedEvent]) -> list[Delivery]:
    """Events that come from the retry set, in order."""
    return _deliveries(addressed_events, "")


def _deliveries(addressed_events: Iterable[AddressedEvent], message_id: str) -> list[Delivery]:
    runs = groupby(addressed_events, key=lambda addressed: addressed.event.event_type.value)
    return [Delivery(event_type=kind, events=list(run), message_id=message_id) for kind, run in runs]
