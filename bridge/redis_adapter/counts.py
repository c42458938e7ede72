"""``Tally``: what happened, how often, where no script counts it."""

from collections.abc import Sequence

import redis

from bridge.redis_adapter.client import keyspace_of, store_errors


class Tally:
    """``bridge.ports.Metrics`` on Redis, in one round trip."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)

    def add(self, grown: Sequence[tuple[str, int]]) -> None:
        with store_errors(), self._client.pipeline(transaction=False) as pipe:
            for field, number in grown:
                pipe.hincrby(self._keys.METRICS, field, number)
            pipe.execute()
