"""``MasterWatch``: whether a worker's connections lead to the server on which a message was claimed."""

from collections.abc import Callable
from typing import Any, cast

import redis

from bridge.redis_adapter.connections import ServerSeen
from bridge.settings import ServerSettings
from bridge.settings.topology import topology


class MasterWatch:
    """``bridge.ports.MasterWatch`` on Redis, for all connections of a client. Compares nothing with another broker."""

    def __init__(self, client: redis.Redis, settings: ServerSettings) -> None:
        self._pool = cast("Any", client.connection_pool)
        if topology(settings).fails_over_as_one:
            self._pool.seen = ServerSeen()

    def begin(self, claimed_on: str) -> Callable[[], bool]:
        seen: ServerSeen | None = self._pool.seen
        if seen is None or not claimed_on:
            return lambda: True
        if seen.name not in ("", claimed_on):
            self._pool.drop_idle(is_no_master=True)
            seen.name = ""
        moves = seen.moves
        return lambda: seen.name in ("", claimed_on) and seen.moves == moves
