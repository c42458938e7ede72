"""What is handed over to be published, by message, and what became of each event. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from bridge.model.events import SSEEvent
from bridge.model.registry import EVERYONE, Address, Id, Retention, User

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
    """An event with its address. A Struct, because one is made for every event."""

    event: SSEEvent  # what is published
    payload: bytes  # ``event.data`` as one line of JSON
    user_id: Id | None  # id of the user whose channel and stream it goes to; None for a broadcast
    addresses: tuple[Address, ...] = ()  # where it goes instead, if there are any: each once, ADDRESSES_MAX at most

    @property
    def told(self) -> tuple[Address, ...]:
        """Every address that it goes to."""
        return self.addresses or ((EVERYONE if self.user_id is None else User(self.user_id)),)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What one message brought, and what is to be done with it."""

    event_type: str  # type of its events
    events: Sequence[AddressedEvent]  # the events to publish
    # Under which the message is in the accounting; empty if its events are waiting retries or redriven letters; DIRECT
    # if there was no message
    message_id: str = ""
    # Task and queue of the message, if every one of its events ends here; otherwise None
    whole: tuple[str, str] | None = None
    skipped: Sequence[str] = ()  # ids of the events that have no recipient
    retention: Retention | None = None  # the class of its type; None: what the settings say
    metrics: Sequence[tuple[str, int]] = ()  # what else to count, if anything is published: name and by how much
