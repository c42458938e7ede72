"""What tests of an application use: what was emitted, what a mapping makes of it, and in-memory twins of the ports.

``capture`` (in pytest the fixture ``emitted``), ``published`` and ``assert_catalog`` need no server; see
docs/testing.md. The twins keep the ports' promises with a clock of one's own and faults on demand: deterministic and
bounded, one process, one event loop. ``MemoryStore`` holds them all over one state.
"""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.testing.emitted import Emitted, Refused, capture
    from bridge.testing.mappings import Message, assert_catalog, published
    from bridge.testing.state import Faults, ManualClock
    from bridge.testing.store import MemoryStore
    from bridge.testing.task_queue import MemoryQueue

__all__ = [
    "Emitted",
    "Faults",
    "ManualClock",
    "MemoryQueue",
    "MemoryStore",
    "Message",
    "Refused",
    "assert_catalog",
    "capture",
    "published",
]

_, __getattr__ = on_demand(
    __name__,
    {
        "bridge.testing.emitted": "Emitted Refused capture",
        "bridge.testing.mappings": "Message assert_catalog published",
        "bridge.testing.state": "Faults ManualClock",
        "bridge.testing.store": "MemoryStore",
        "bridge.testing.task_queue": "MemoryQueue",
    },
)
