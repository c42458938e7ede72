"""The bridge's own tally in Redis: what happened, how often, since the beginning."""

import redis

from bridge.store import keys
from bridge.store.client import store_errors, text

COUNT_NAMES = ("published", "duplicate", "skipped", "retried", "dead", "dead_evicted")


class Counts:
    """Read the tally, and add what no script counts."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def add_skipped(self, number: int) -> None:
        """Count events that had nobody to tell.

        Raises:
            StoreUnavailableError: Redis is away or refuses writes.
        """
        if number:
            with store_errors():
                self._client.hincrby(keys.COUNTS, "skipped", number)

    def read(self) -> dict[str, int]:
        """Every count; 0 for what never happened.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            values = self._client.hgetall(keys.COUNTS)
        found = {text(name): int(value) for name, value in values.items()}
        return {name: found.get(name, 0) for name in COUNT_NAMES}
