"""What tests of an application use: what was emitted, what a mapping makes of it, and in-memory twins of the ports.

``capture`` (in pytest the fixture ``emitted``), ``published``, ``assert_catalog`` and ``memory_bridge`` need no server;
``live_bridge`` brings one. See docs/testing.md. The twins keep the ports' promises with a clock of one's own and faults
on demand, deterministic and bounded, in one process. ``MemoryStore`` holds them all over one state.
"""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.testing.emitted import Emitted, Refused, capture
    from bridge.testing.frames import Frame
    from bridge.testing.live import LiveBridge, live_bridge
    from bridge.testing.mappings import Message, assert_catalog, published
    from bridge.testing.memory import MemoryBridge, memory_bridge
    from bridge.testing.outcomes import Failed
    from bridge.testing.state import Faults, ManualClock
    from bridge.testing.store import MemoryStore
    from bridge.testing.stream import Stream, StreamRefusedError
    from bridge.testing.task_queue import MemoryQueue
    from bridge.testing.under_test import TestBridgeError

__all__ = [
    "Emitted",
    "Failed",
    "Faults",
    "Frame",
    "LiveBridge",
    "ManualClock",
    "MemoryBridge",
    "MemoryQueue",
    "MemoryStore",
    "Message",
    "Refused",
    "Stream",
    "StreamRefusedError",
    "TestBridgeError",
    "assert_catalog",
    "capture",
    "live_bridge",
    "memory_bridge",
    "published",
]

_, __getattr__ = on_demand(
    __name__,
    {
        "bridge.testing.emitted": "Emitted Refused capture",
        "bridge.testing.frames": "Frame",
        "bridge.testing.live": "LiveBridge live_bridge",
        "bridge.testing.mappings": "Message assert_catalog published",
        "bridge.testing.memory": "MemoryBridge memory_bridge",
        "bridge.testing.outcomes": "Failed",
        "bridge.testing.state": "Faults ManualClock",
        "bridge.testing.store": "MemoryStore",
        "bridge.testing.stream": "Stream StreamRefusedError",
        "bridge.testing.task_queue": "MemoryQueue",
        "bridge.testing.under_test": "TestBridgeError",
    },
)
