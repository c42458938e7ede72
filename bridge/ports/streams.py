"""``GatewayPorts``: all that a gateway needs of the store, in one value, and the port of what it counts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.ports.events import Channels, EventLog, LiveChannel
from bridge.ports.rights import Tickets, WithdrawnRights
from bridge.runtime.supervision import Supervised


class GatewayReports(Protocol):
    """What gateways say of themselves every few seconds, and what they counted."""

    async def add(
        self,
        name: str,
        *,
        connections: int,
        grown: Mapping[str, int],
        troubled: Sequence[Supervised] = (),
        catalog: str = "-",
    ) -> str:
        """Add what was counted since the last time. Not idempotent: on a lost reply it may be added twice.

        Args:
            name: name of the process.
            connections: streams that it has open.
            grown: name of a counter → by how much it grew.
            troubled: its tasks and threads that are in trouble.
            catalog: identity of its registry.

        Returns:
            Where the order of the streams began; empty before it did.
        """
        ...

    async def leave(self, name: str) -> None:
        """A process ends."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayPorts:
    """What a gateway needs to serve streams; nothing of it connects before its first use."""

    channels: Channels
    event_log: EventLog
    reports: GatewayReports
    tickets: Tickets
    withdrawn: WithdrawnRights
    open_channel: Callable[[], LiveChannel]  # makes a connection of the caller's own, to be opened and closed by it
    close: Callable[[], Awaitable[None]]  # drops the connections
