"""bridge: ``emit`` and ``emit_many``. Its worker is ``celery -A bridge.worker worker``."""

import time
from collections.abc import Sequence
from typing import Any

from bridge import configure

CHUNK = 1_000
WAITING_MAX = 50_000
"""A producer that is faster than its broker waits here, instead of filling the buffer until it refuses."""


class Sender:
    """The process's emitter."""

    def __init__(self) -> None:
        self._emitter = configure()

    def one(self, event: Any) -> None:
        """Emit one event."""
        if not self._emitter.emit(event):
            raise RuntimeError("not accepted")

    def each(self, events: Sequence[Any]) -> None:
        """Emit one by one."""
        emit = self._emitter.emit
        for start in range(0, len(events), CHUNK):
            self._wait_for_room()
            for event in events[start : start + CHUNK]:
                emit(event)

    def burst(self, events: Sequence[Any]) -> None:
        """Emit many."""
        for start in range(0, len(events), CHUNK):
            self._wait_for_room()
            self._emitter.emit_many(events[start : start + CHUNK])

    def finish(self) -> None:
        """Flush."""
        if not self._emitter.flush(600):
            raise RuntimeError("not flushed")

    def _wait_for_room(self) -> None:
        while (counts := self._emitter.counts)["accepted"] - counts["delivered"] > WAITING_MAX:
            time.sleep(0.001)
