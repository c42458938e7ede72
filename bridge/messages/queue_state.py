"""What operators see of a broker's queues, whichever broker it is: how much stands on each, and the messages."""

from base64 import b64decode
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from bridge.messages.compression import decompressed
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.errors import DecodeError


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueState:
    """One queue at one moment."""

    name: str  # ``bridge.<category>``
    depth: int  # messages that wait to be taken, also on the lists of priorities (Redis)
    # Since the one that is taken next was accepted; None if nothing waits, or the accounting does not know. On RabbitMQ
    # it is that of the oldest of up to 1,000 messages on their way, claimed or not.
    oldest_age_s: float | None
    registered: bool = True  # whether it is a queue of the registry
    task: str = ""  # Celery task of the message that is taken next; empty if unknown


class _Identified(msgspec.Struct):
    id: UUID


_bodies = msgspec.json.Decoder(tuple[tuple[list[_Identified]], Any, Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuedMessage:
    """A message that stands on a queue or is claimed by a worker."""

    message_id: str  # the Celery task id
    book_id: str  # the message under which its events are in the accounting
    claimed: bool  # whether a worker has it
    body: str  # base64 of the Celery body, as it was sent
    compression: object = None  # as its header says; anything may stand there

    @property
    def is_part(self) -> bool:
        """Whether it holds only part of the message that is in the accounting, which was taken apart."""
        return self.message_id != self.book_id

    def event_ids(self) -> frozenset[UUID]:
        """The ids of its events; none if the body cannot be read."""
        try:
            body = decompressed(b64decode(self.body), self.compression)
            return frozenset(event.id for event in _bodies.decode(body)[0][0])
        except (DecodeError, *PARSER_ERRORS):
            return frozenset()


def age_s(since_ms: int | None, now_ms: int) -> float | None:
    """Seconds since then, 0 or more; None if it is unknown."""
    return None if since_ms is None else max(0.0, (now_ms - since_ms) / 1000)
