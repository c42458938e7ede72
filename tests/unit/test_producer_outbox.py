"""The outbox's buffer: its front can be copied while other threads put events in."""

import threading
from collections import Counter

from bridge.producer.outbox import Outbox
from bridge.registry import REGISTRY
from bridge.settings import Settings


def test_the_front_is_copied_whole_while_others_put_events_in() -> None:
    outbox = Outbox(Settings(), REGISTRY, Counter())
    ending = threading.Event()

    def put() -> None:
        while not ending.is_set() and len(outbox._buffer) < 200_000:
            outbox._buffer.append(len(outbox._buffer))  # type: ignore[arg-type]

    putting = threading.Thread(target=put)
    putting.start()
    try:
        for _ in range(3_000):
            front = outbox._front(100)
            assert front == list(range(len(front)))
    finally:
        ending.set()
        putting.join()
