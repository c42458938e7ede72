"""How often messages were started whose workers died: to tell poison messages from the ones claimed beside them."""

import redis

from bridge.redis_adapter.client import keyspace_of, store_errors

LIFE_S = 86_400
"""The tally is forgotten this long after its last change; messages that came back are done long before."""


class Starts:
    """``bridge.ports.StartCounts`` on Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)

    def add(self, message_id: str) -> int:
        with store_errors(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hincrby(self._keys.STARTS, message_id, 1)
            pipeline.expire(self._keys.STARTS, LIFE_S)
            times, _ = pipeline.execute()
        return int(times)

    def take_back(self, message_id: str) -> None:
        with store_errors():
            self._client.hincrby(self._keys.STARTS, message_id, -1)

    def forget(self, message_id: str) -> None:
        with store_errors():
            self._client.hdel(self._keys.STARTS, message_id)
