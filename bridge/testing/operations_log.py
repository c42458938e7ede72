"""``MemoryOperationsLog``: the twin of the log of operations."""

from collections import deque
from itertools import islice

from msgspec.structs import replace

from bridge.model.log_entry import LogEntry
from bridge.testing.state import State, Twin

ENTRIES_MAX = 10_000


class MemoryOperationsLog(Twin):
    """Satisfies ``bridge.ports.OperationsLog``."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._entries: deque[LogEntry] = deque(maxlen=ENTRIES_MAX)

    def append(self, entry: LogEntry) -> None:
        self._entries.appendleft(replace(entry, at_ms=self._state.clock.now_ms()))

    def newest(self, limit: int = 100) -> list[LogEntry]:
        return list(islice(self._entries, limit))
