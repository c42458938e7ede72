"""``Sender``: what is sent again after trouble is the same messages, so that it is accounted for once."""

from uuid import uuid4

from bridge.producer.batching import Accepted, BatchLimits
from bridge.producer.sender import Progress, Sender
from bridge.testing import MemoryStore

LIMITS = BatchLimits(events=2, size_bytes=10_000)


def accepted(number: int) -> list[Accepted]:
    return [Accepted("bridge.FileImportSucceeded", "bridge.import", uuid4(), b"{}") for _ in range(number)]


def test_events_that_are_tried_again_are_accounted_for_once() -> None:
    store, events = MemoryStore(), accepted(5)
    sender = Sender(store.queue, LIMITS, Progress(), lambda: 0)
    for _ in range(2):
        store.queue.faults.lose_answers()
        assert sender.try_once(events) is not None
    assert sender.try_once(events) is None
    assert store.balance().accepted == 5
    assert sender.try_once(events) is None, "these may be others that are equal"
    assert sender.try_once(accepted(5)) is None
    assert store.balance().accepted == 15
