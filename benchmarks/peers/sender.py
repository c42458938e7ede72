"""What the harness asks of every producer."""

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol


class Sender(Protocol):
    """A producer. Each method returns nothing, or an awaitable of nothing for asyncio libraries.

    Made inside a running event loop.
    """

    def one(self, event: Any) -> Awaitable[None] | None:
        """Send one event, as business code does: the caller waits for this."""

    def each(self, events: Sequence[Any]) -> Awaitable[None] | None:
        """Send events as fast as possible by one call each."""

    def burst(self, events: Sequence[Any]) -> Awaitable[None] | None:
        """Send events that are known together, by whatever the library has for that."""

    def finish(self) -> Awaitable[None] | None:
        """Wait until the broker has everything."""
