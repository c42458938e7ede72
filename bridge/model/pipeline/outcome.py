"""How the handling of one event can end: a closed union that the worker obeys."""

from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

import msgspec

from bridge.model.events import SSEEvent
from bridge.model.pipeline.failure import Failure
from bridge.model.registry import Addressing, Audience


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Publish ``event``. A Struct, because one is made for nearly every event, and that is what it costs least."""

    event: SSEEvent  # what clients get
    payload: bytes  # ``event.data`` as one line of JSON
    audience: Audience | Addressing  # the event's user, or broadcast
    envelope: object  # what it came from, so that a refused write can still be retried or dead-lettered


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """There is no recipient."""

    event_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again later."""

    event_id: UUID
    envelope: bytes  # JSON, byte for byte what is tried again
    attempt: int  # the attempt that failed, 1 for the first
    after_s: float  # seconds to wait
    failure: Failure  # why
    user_id: str = ""  # the user that the event names, by its mapping; empty if none, or if that cannot be told
    # What an extractor raised, for the log of this process; None where nothing of the team's failed
    error: BaseException | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dead:
    """Keep it for a person: it will not succeed by itself."""

    # The event's id; for what has no readable id, derived from its bytes, so that a redelivery makes the same letter
    letter_id: str
    envelope: bytes  # JSON of what came in
    attempt: int  # the attempt that failed, 1 for the first
    failure: Failure  # why
    user_id: str = ""  # as of a Retry
    error: BaseException | None = field(default=None, compare=False, repr=False)  # as of a Retry


Outcome: TypeAlias = Published | Skipped | Retry | Dead
