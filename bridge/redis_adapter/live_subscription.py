"""``LiveSubscription``: one pub/sub connection that never mends itself: when it breaks, whoever reads it hears of it.

redis-py's own PubSub reconnects and resubscribes without a word, and what was published in between is gone.
"""

from contextlib import suppress

import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bridge.model.event_log import Heard
from bridge.redis_adapter.client import store_errors
from bridge.redis_adapter.errors import REDIS_TROUBLES, store_error

CONNECTION_NAME = "bridge-gateway-hub"
"""As CLIENT LIST shows it."""


_OTHER = Heard("", None)


class LiveSubscription:
    """One connection, from ``open`` to the first trouble; made anew after it.

    It is made as the client's are; that stays its owner's to close.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._pool = client.connection_pool
        self._lost_masters = 0
        self._connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        self._connection.client_name = CONNECTION_NAME
        # Every reconnect must be its reader's, or a gap would go unnoticed.
        self._connection.retry = Retry(NoBackoff(), 0)

    async def open(self) -> None:
        with store_errors():
            await self._connection.connect()  # type: ignore[no-untyped-call]
        self._lost_masters = getattr(self._pool, "lost_masters", 0)

    async def send(self, verb: str, *channels: str) -> None:
        with store_errors():
            await self._connection.send_command(verb, *channels, check_health=False)

    async def hear(self, timeout_s: float) -> Heard | None:
        try:
            reply = await self._connection.read_response(timeout=timeout_s, disconnect_on_error=False)
            if getattr(self._pool, "lost_masters", 0) != self._lost_masters:
                raise redis.ConnectionError("The server is no master any more")
        except REDIS_TROUBLES as error:  # no context manager, which would cost as much as the rest
            raise store_error(error) from error
        match reply:
            case None:
                return None
            case [b"message", bytes(channel), bytes(message)]:
                return Heard(channel.decode(errors="replace"), message)
            case [b"subscribe", bytes(channel), _]:
                return Heard(channel.decode(errors="replace"), None)
        return _OTHER

    async def close(self) -> None:
        with suppress(*REDIS_TROUBLES):
            await self._connection.disconnect(nowait=True)
