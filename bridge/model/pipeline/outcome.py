"""How the handling of one event can end: a closed union that the worker obeys."""

from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

import msgspec

from bridge.model.events import SSEEvent
from bridge.model.pipeline.failure import Failure
from bridge.model.registry import Addressing, Audience


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Publish ``event``. A Struct, because one is made for nearly every event, and that is what it costs least.

    Attributes:
        event: what clients get.
        payload: ``event.data`` as one line of JSON.
        audience: the event's user, or broadcast.
        envelope: what it came from, so that a refused write can still be retried or dead-lettered.
    """

    event: SSEEvent
    payload: bytes
    audience: Audience | Addressing
    envelope: object


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """There is no recipient."""

    event_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Try again later.

    Attributes:
        envelope: JSON, byte for byte what is tried again.
        attempt: the attempt that failed, 1 for the first.
        after_s: seconds to wait.
        failure: why.
        user_id: the user that the event names, by its mapping; empty if none, or if that cannot be told.
        error: what an extractor raised, for the log of this process; None where nothing of the team's failed.
    """

    event_id: UUID
    envelope: bytes
    attempt: int
    after_s: float
    failure: Failure
    user_id: str = ""
    error: BaseException | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dead:
    """Keep it for a person: it will not succeed by itself.

    Attributes:
        letter_id: the event's id; for what has no readable id, derived from its bytes, so that a
            redelivery makes the same letter.
        envelope: JSON of what came in.
        attempt: the attempt that failed, 1 for the first.
        failure: why.
        user_id: as of a Retry.
        error: as of a Retry.
    """

    letter_id: str
    envelope: bytes
    attempt: int
    failure: Failure
    user_id: str = ""
    error: BaseException | None = field(default=None, compare=False, repr=False)


Outcome: TypeAlias = Published | Skipped | Retry | Dead
