"""Rights that were withdrawn: recorded and told in one script; read whole by each gateway that connects."""

from typing import cast

import redis
import redis.asyncio

from bridge.model.bounds import WITHDRAWN_MAX
from bridge.model.withdrawal import Withdrawal, Withdrawals
from bridge.ports import Told
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import OfStore
from bridge.settings import RetentionSettings


class RightsRecord(OfStore):
    """``bridge.ports.RightsRecord`` on Redis."""

    def __init__(self, client: redis.Redis, settings: RetentionSettings) -> None:
        super().__init__(client)
        self._ttl_s = settings.disconnect_ttl_s

    def withdraw(self, target: str) -> Told:
        """One script call, also where Redis is full."""
        return self._tell(target, self._ttl_s)

    def end_streams(self, target: str) -> int:
        """The same call, with no time to be remembered."""
        return self._tell(target, 0).gateways

    def _tell(self, target: str, ttl_s: int) -> Told:
        gateways, evicted = self._run("withdraw", [target, ttl_s, WITHDRAWN_MAX, self._keys.CONTROL_CHANNEL])
        return Told(gateways=gateways, evicted=evicted)


class WithdrawnRights:
    """``bridge.ports.WithdrawnRights`` on Redis. The asyncio client stays its owner's to close."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)

    @property
    def channel(self) -> str:
        return self._keys.CONTROL_CHANNEL

    async def read(self) -> Withdrawals:
        """One round trip."""
        with store_errors():
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.zrange(self._keys.WITHDRAWALS, 0, -1, withscores=True)
                pipeline.time()
                found, (seconds, microseconds) = await pipeline.execute()
        marks = tuple(Withdrawal(text(who), int(at_ms)) for who, at_ms in cast("list[tuple[bytes, float]]", found))
        return Withdrawals(marks, int(seconds) * 1000 + int(microseconds) // 1000)
