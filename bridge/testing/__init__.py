"""In-memory twins of the ports, for tests without a server: the same promises, a clock of one's own, faults on demand.

Deterministic and bounded; one process, one event loop. ``MemoryStore`` holds them all over one state.
"""

from bridge.testing.state import Faults, ManualClock
from bridge.testing.store import MemoryStore
from bridge.testing.task_queue import MemoryQueue

__all__ = ["Faults", "ManualClock", "MemoryQueue", "MemoryStore"]
