"""``MemoryOperationsLog``: the twin of the log of operations."""

from collections import deque
from itertools import islice

from msgspec.structs import replace

from bridge.model.log_entry import LogEntry
from bridge.testing.state import State

ENTRIES_MAX = 10_000


class MemoryOperationsLog:
    """Satisfies ``bridge.ports.OperationsLog``."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._entries: deque[LogEntry] = deque(maxlen=ENTRIES_MAX)

    def append(self, entry: LogEntry) -> None:
        with self._state.faults.call():
            self._entries.appendleft(replace(entry, at_ms=self._state.clock.now_ms()))

    def newest(self, limit: int = 100) -> list[LogEntry]:
        with self._state.faults.call():
            return list(islice(self._entries, limit))
