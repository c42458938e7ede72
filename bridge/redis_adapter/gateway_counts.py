"""What gateway processes count, added up in the store, so that it is right over many processes and hosts."""

from collections.abc import Mapping, Sequence

import msgspec
import redis.asyncio

from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script
from bridge.runtime.reports import GatewayStates
from bridge.runtime.supervision import Supervised

FORGET_AFTER_S = 60
"""A gateway process that was silent for longer is gone, and so are its streams."""
METRIC_PREFIX = "gateway:"


class Gateways:
    """The gateway's side; for asyncio."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._add = script("gateway")

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
        state = f"{connections} {catalog}"
        if troubled:
            state += f" {msgspec.json.encode(troubled).decode()}"
        args: list[str | int] = [name, state, FORGET_AFTER_S * 1000]
        for counter, number in grown.items():
            args += (METRIC_PREFIX + counter, number)
        with store_errors():
            began = await self._add.run_async(self._client, args)
        return text(began)

    async def leave(self, name: str) -> None:
        """A process ends."""
        with store_errors():
            await self._client.hdel(self._keys.GATEWAYS, name)


def read_gateways(records: Mapping[bytes, bytes], now_ms: int) -> GatewayStates:
    """The processes that ``bridge:gateways`` tells of."""
    living = {}
    catalogs = []
    for name, record in records.items():
        at, streams, catalog, *threads = text(record).split(" ", 3)
        if now_ms - int(at) <= FORGET_AFTER_S * 1000:
            living[text(name)] = (int(streams), _troubled(threads[0]) if threads else ())
            catalogs.append((text(name).rpartition(":")[0], catalog))
    return GatewayStates(
        processes=len(living),
        connections=sum(streams for streams, _ in living.values()),
        threads={name: threads for name, (_, threads) in sorted(living.items()) if threads},
        catalogs=tuple(catalogs),
    )


def _troubled(written: str) -> tuple[Supervised, ...]:
    try:
        return msgspec.json.decode(written, type=tuple[Supervised, ...])
    except msgspec.MsgspecError:
        return ()
