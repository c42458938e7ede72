"""The producer's buffer: its front can be copied while other threads put events in."""

import threading

import pytest

from bridge.catalogs.finance import REGISTRY
from bridge.producer.background_sender import BackgroundSender
from bridge.producer.buffer import Buffer
from bridge.producer.sender import Progress
from bridge.producer.unaccepted import Unaccepted
from bridge.settings import Settings


def test_the_front_is_copied_whole_while_others_put_events_in() -> None:
    buffer = Buffer(1_000_000, linger_s=0, enough=1, progress=Progress(), attend=lambda: True)
    ending = threading.Event()

    def put() -> None:
        while not ending.is_set() and len(buffer) < 200_000:
            buffer.put(len(buffer))  # type: ignore[arg-type]

    putting = threading.Thread(target=put)
    putting.start()
    try:
        for _ in range(3_000):
            front = buffer.front(100)
            assert front == list(range(len(front)))
    finally:
        ending.set()
        putting.join()


def test_what_a_child_inherits_is_sent_by_its_parent_alone_also_by_threads_that_come_along() -> None:
    background = BackgroundSender(Settings(broker_url="redis://127.0.0.1:1/0"), REGISTRY, Unaccepted("", strict=False))
    background.buffer.put(1)  # type: ignore[arg-type]
    background.abandon()
    background.buffer.empty(lambda _: pytest.fail("it is the parent's"))
    assert len(background.buffer) == 1
