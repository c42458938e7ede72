"""What the bridge has done, as a test compares it: the accounting's counts, and what stands in the streams."""

import redis

from bridge.redis_adapter.client import keyspace_of, store_errors, text

COUNT_NAMES = (
    "accepted",
    "open",
    "published",
    "duplicate",
    "skipped",
    "retried",
    "retry_full",
    "dead",
    "dead_bundled",
    "dead_evicted",
    "discarded",
    "tombstones_evicted",
    "written_off",
    "set_back",
    "unbooked",
    "stray",
)


class Counts:
    """Read the tally; the scripts write it."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)

    def read(self) -> dict[str, int]:
        """Every count; 0 for what never happened."""
        with store_errors():
            values = self._client.hgetall(self._keys.COUNTS)
        found = {text(name): int(value) for name, value in values.items()}
        return {name: found.get(name, 0) for name in COUNT_NAMES}


def published_ids(client: redis.Redis) -> list[str]:
    """Every event id of every user's stream, as often as it stands there."""
    streams = list(client.scan_iter("sse:stream:user:*", _type="stream"))
    return sorted(fields[b"event_id"].decode() for stream in streams for _, fields in client.xrange(stream))
