"""The producer's buffer: its front can be copied while other threads put events in."""

import threading

from bridge.producer.buffer import Buffer
from bridge.producer.sender import Progress


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
