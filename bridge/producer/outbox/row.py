"""``OutboxRow``: an event as it stands in the table; what each column holds is said here, and nowhere else."""

import time
from enum import IntEnum
from hashlib import blake2b
from typing import Self

import msgspec

from bridge.producer.batching import Accepted, User

SCHEMA_VERSION = 1
"""How rows are written today. A process passes over rows of a newer one: they wait for a process that knows it."""
ORDER_KEY_BYTES = 16
"""Of the digest that stands for a user; two users with one digest would only be kept in one order."""


class RowState(IntEnum):
    """Whether a row is sent."""

    WAITING = 0
    DAMAGED = 1
    """Set aside: it is no event of ours, too large, or its envelope cannot be read."""
    UNSURE = 2
    """Set aside: the broker may have had the row for so long that its id is known no more, and never confirmed it."""


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is inserted. ``id`` is the database's to give; ``claimed_by`` and ``claimed_ms`` are the drain's."""

    event_id: str  # unique
    task: str  # Celery task: what type of event it is
    order_key: str | None  # whose it is, as a digest in hex; None keeps its place among all
    envelope: bytes  # as it goes to the broker
    created_ms: int  # when it was emitted, by the producer's clock, in ms since the epoch
    schema_version: int = SCHEMA_VERSION
    state: int = RowState.WAITING

    @classmethod
    def of(cls, event: Accepted) -> Self:
        """The row of an event in its envelope."""
        return cls(
            event_id=str(event.event_id),
            task=event.task,
            order_key=_order_key(event.user),
            envelope=event.envelope,
            created_ms=time.time_ns() // 1_000_000,
        )


def _order_key(user: User | None) -> str | None:
    """A digest, so that it fits whatever a user is called and whichever letters the table takes."""
    return None if user is None else blake2b(str(user).encode(), digest_size=ORDER_KEY_BYTES).hexdigest()
