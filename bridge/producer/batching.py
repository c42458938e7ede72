"""Grouping buffered events into Celery messages; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from bridge.broker import OVERHEAD_BYTES, TaskMessage
from bridge.pipeline import EventCodec


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted event: where it goes, and its envelope."""

    task: str
    queue: str
    event_id: UUID
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """Where the events of one class go, and how they are written.

    Attributes:
        codec: writes them.
        task: of their messages.
        queue: of their messages.
        source: of their envelopes.
        data_max: bytes that an event may surely have, whatever its envelope adds.
    """

    codec: EventCodec
    task: str
    queue: str
    source: str
    data_max: int


class Entry(msgspec.Struct, frozen=True, gc=False):
    """An event in the buffer: written, but not in its envelope yet, which is left to the thread that sends.

    A Struct, because one is made for every event.
    """

    route: Route
    event_id: UUID
    occurred_at: datetime
    data: bytes
    traceparent: str = ""

    def accepted(self) -> Accepted:
        """The event in its envelope."""
        route = self.route
        envelope = route.codec.wrap(
            self.data, self.event_id, self.occurred_at, source=route.source, traceparent=self.traceparent
        )
        return Accepted(route.task, route.queue, self.event_id, envelope)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchLimits:
    """Bounds of one message: events, and bytes of its body."""

    events: int
    size_bytes: int


def batch(accepted: Iterable[Accepted], limits: BatchLimits) -> list[TaskMessage]:
    """Pack events into messages of one task each, within the limits.

    Events of one task keep their order. Messages stand in the order of their first event.
    """
    by_task: dict[tuple[str, str], list[Accepted]] = {}
    for event in accepted:
        by_task.setdefault((event.task, event.queue), []).append(event)
    return [
        TaskMessage(
            task=task,
            queue=queue,
            envelopes=[event.envelope for event in part],
            event_ids=b"".join([event.event_id.bytes for event in part]),
        )
        for (task, queue), events in by_task.items()
        for part in _split(events, limits)
    ]


def _split(events: list[Accepted], limits: BatchLimits) -> Iterator[list[Accepted]]:
    part: list[Accepted] = []
    size_bytes = OVERHEAD_BYTES
    for event in events:
        size = len(event.envelope)
        if part and (len(part) >= limits.events or size_bytes + size > limits.size_bytes):
            yield part
            part, size_bytes = [], OVERHEAD_BYTES
        part.append(event)
        size_bytes += size + 1
    if part:
        yield part
