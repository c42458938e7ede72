"""The pytest plugin of ``bridge.testing``: the fixture ``emitted``. Loads nothing of the bridge until a test asks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bridge import Registry
    from bridge.testing import Emitted


@pytest.fixture
def bridge_registry() -> "Registry | None":
    """The catalog of ``emitted``; override it. None: that of ``bridge.configure``, or else the environment's."""
    return None


@pytest.fixture
def emitted(bridge_registry: "Registry | None") -> "Iterator[Emitted]":
    """What the code under test emits, in this process and by any thread; nothing of it is sent. See docs/testing.md."""
    from sse_bridge.testing import capture

    with capture(bridge_registry) as found:
        yield found
