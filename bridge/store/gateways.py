"""What gateway processes count, added up in the store, so that it is right over many processes and hosts."""

from collections.abc import Mapping
from dataclasses import dataclass

import redis.asyncio

from bridge.store.client import keyspace_of, script_text, store_errors, text

FORGET_AFTER_S = 60
"""A gateway process that was silent for longer is gone, and so are its streams."""
METRIC_PREFIX = "gateway:"


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayStates:
    """The gateway processes at one moment.

    Attributes:
        processes: that were heard within ``FORGET_AFTER_S``.
        connections: streams that they have open.
    """

    processes: int
    connections: int


class Gateways:
    """The gateway's side; for asyncio."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._add = client.register_script(script_text("gateway"))

    async def add(self, name: str, *, connections: int, grown: Mapping[str, int]) -> None:
        """Add what was counted since the last time. Not idempotent: on a lost reply it may be added twice.

        Args:
            name: of the process.
            connections: streams that it has open.
            grown: name of a counter → by how much it grew.

        Raises:
            StoreUnavailableError: Redis is away or refuses writes.
        """
        args: list[str | int] = [name, connections, FORGET_AFTER_S * 1000]
        for counter, number in grown.items():
            args += (METRIC_PREFIX + counter, number)
        with store_errors():
            await self._add(keys=[self._keys.METRICS, self._keys.GATEWAYS], args=args)

    async def leave(self, name: str) -> None:
        """A process ends.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            await self._client.hdel(self._keys.GATEWAYS, name)


def read_gateways(records: Mapping[bytes, bytes], now_ms: int) -> GatewayStates:
    """The processes that ``bridge:gateways`` tells of."""
    found = [text(record).split(" ") for record in records.values()]
    living = [int(streams) for at, streams in found if now_ms - int(at) <= FORGET_AFTER_S * 1000]
    return GatewayStates(processes=len(living), connections=sum(living))
