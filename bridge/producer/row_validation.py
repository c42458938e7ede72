"""``RowValidator``: which rows of a spool file, or of an outbox, are events that this process may send; pure."""

from collections.abc import Collection, Sequence
from enum import Enum, auto
from typing import Literal
from uuid import UUID

import msgspec

from bridge.model.bounds import LEVELS_MAX, SPOOL_ENVELOPE_BYTES_MAX, SPOOL_TEXT_BYTES_MAX, levels_of
from bridge.model.registry import Registry
from bridge.producer.batching import Accepted


class RejectedRow(Enum):
    """Why a row is not sent."""

    DAMAGED = auto()
    """It cannot be sent: a value has a wrong type or is too large, or the envelope is none, or another event's."""
    FOREIGN = auto()
    """Its task is not in the registry of this process; one with another registry may send it."""


class _Head(msgspec.Struct):
    """All that is read of an envelope."""

    specversion: Literal["1.0"]
    id: UUID
    type: str
    data: msgspec.Raw


_head_of = msgspec.json.Decoder(_Head)


class RowValidator:
    """Judges rows by a registry. Where a row's event goes is the registry's to say, not the row's."""

    def __init__(self, registry: Registry) -> None:
        self._known = {
            registry.task_of(row): (registry.queue_of(row), row.domain_event_class.__name__)
            for row in registry.mappings
        }

    @property
    def tasks(self) -> Collection[str]:
        """The tasks whose rows may be sent."""
        return self._known.keys()

    def judge(self, values: Sequence[object]) -> Accepted | RejectedRow:
        """The event in a row's task, envelope and user; every text of a row is read as bytes."""
        task, envelope, user = values
        if not (isinstance(task, bytes) and isinstance(envelope, bytes)):
            return RejectedRow.DAMAGED
        if len(task) > SPOOL_TEXT_BYTES_MAX or len(envelope) > SPOOL_ENVELOPE_BYTES_MAX:
            return RejectedRow.DAMAGED
        name = task.decode(errors="replace")
        known = self._known.get(name)
        if known is None:
            return RejectedRow.FOREIGN
        queue, event_class = known
        if levels_of(envelope) > LEVELS_MAX + 1:
            return RejectedRow.DAMAGED
        try:
            head = _head_of.decode(envelope)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return RejectedRow.DAMAGED
        if head.type != event_class or not bytes(head.data).startswith(b"{"):
            return RejectedRow.DAMAGED
        return Accepted(name, queue, head.id, envelope, _user(user))


def _user(value: object) -> str | None:
    """The user of an event; a value that cannot be one leaves it without, and it keeps its place among all."""
    if not isinstance(value, bytes) or len(value) > SPOOL_TEXT_BYTES_MAX:
        return None
    return value.decode(errors="replace")
