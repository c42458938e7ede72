"""Grouping buffered events into Celery messages; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.broker import OVERHEAD_BYTES, TaskMessage


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event in the buffer: where it goes, and its envelope."""

    task: str
    queue: str
    envelope: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchLimits:
    """Bounds of one message: events, and bytes of its body."""

    events: int
    size_bytes: int


def batch(accepted: Iterable[Accepted], limits: BatchLimits) -> list[TaskMessage]:
    """Pack events into messages of one task each, within the limits.

    Events of one task keep their order. Messages stand in the order of their first event.
    """
    by_task: dict[tuple[str, str], list[bytes]] = {}
    for event in accepted:
        by_task.setdefault((event.task, event.queue), []).append(event.envelope)
    return [
        TaskMessage(task=task, queue=queue, envelopes=part)
        for (task, queue), envelopes in by_task.items()
        for part in _split(envelopes, limits)
    ]


def _split(envelopes: list[bytes], limits: BatchLimits) -> Iterator[list[bytes]]:
    part: list[bytes] = []
    size_bytes = OVERHEAD_BYTES
    for envelope in envelopes:
        if part and (len(part) >= limits.events or size_bytes + len(envelope) > limits.size_bytes):
            yield part
            part, size_bytes = [], OVERHEAD_BYTES
        part.append(envelope)
        size_bytes += len(envelope) + 1
    if part:
        yield part
