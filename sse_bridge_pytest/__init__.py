"""The pytest plugin of ``bridge.testing``: its fixtures. Loads nothing of the bridge until a test asks for one."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bridge import Registry, Settings
    from bridge.testing import Emitted, LiveBridge, MemoryBridge
    from bridge.testing.live import LiveProcesses


@pytest.fixture
def bridge_registry() -> "Registry | str | None":
    """The catalog of the fixtures here, or its path; override it.

    None: that of ``bridge.configure``, or else the environment's.
    """
    return None


@pytest.fixture(scope="session")
def live_bridge_settings() -> "Settings | None":
    """The settings of ``live_bridge``; override it. None: such that retries are quick, and clients are believed."""
    return None


@pytest.fixture
def emitted(bridge_registry: "Registry | str | None") -> "Iterator[Emitted]":
    """What the code under test emits, in this process and by any thread; nothing of it is sent. See docs/testing.md."""
    from sse_bridge.testing import capture

    with capture(bridge_registry) as found:
        yield found


@pytest.fixture
def memory_bridge(bridge_registry: "Registry | str | None") -> "Iterator[MemoryBridge]":
    """The whole bridge in memory: what is emitted comes out of streams. See docs/testing.md."""
    from sse_bridge.testing import memory_bridge

    with _sentences(), memory_bridge(bridge_registry) as bridge:
        yield bridge


@pytest.fixture(scope="session")
def _live_processes() -> "Iterator[dict[str, LiveProcesses]]":
    """Those that were started, by the path of their catalog."""
    started: dict[str, LiveProcesses] = {}
    yield started
    for processes in started.values():
        processes.stop()


@pytest.fixture
def live_bridge(
    bridge_registry: "Registry | str | None",
    live_bridge_settings: "Settings | None",
    _live_processes: "dict[str, LiveProcesses]",
) -> "Iterator[LiveBridge]":
    """Server, worker and gateway as processes, started once a session and catalog. See docs/testing.md."""
    live = import_module("sse_bridge.testing.live")
    with _sentences():
        path = live.path_of(bridge_registry)
        if path not in _live_processes:
            processes = live.LiveProcesses(path, live_bridge_settings)
            processes.start()
            _live_processes[path] = processes
        bridge: LiveBridge = live.LiveBridge(_live_processes[path])
    with bridge.running():
        yield bridge


@contextmanager
def _sentences() -> Iterator[None]:
    """What the bridge says of a set-up that cannot work is a sentence, and no traceback."""
    from sse_bridge import BridgeError

    try:
        yield
    except BridgeError as error:
        pytest.fail(str(error), pytrace=False)
