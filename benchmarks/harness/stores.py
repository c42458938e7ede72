"""The Redis of one measurement: fresh, with books of what was published and what it cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from bridge.local.redis_server import EmbeddedServer


class Store:
    """A server of its own, seen from outside the measured processes."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.url = server.url
        self.pid = server.pid
        self.client: redis.Redis = redis.Redis.from_url(server.url)
        # A rewrite of the log in the middle of one run would be charged to whoever was running.
        self.client.config_set("auto-aof-rewrite-percentage", 0)

    def published(self, by: str) -> int:
        """How many events were published since the last reset: how often a command ran, in scripts or not.

        Args:
            by: ``xadd`` or ``publish``; each runs once an event, but brokers may use one of them for themselves.
        """
        stats: Any = self.client.info("commandstats")
        return int(stats.get(f"cmdstat_{by}", {}).get("calls", 0))

    def forget(self) -> None:
        """Begin to count anew; streams of earlier events go."""
        for names in self._scan("sse:stream:*"):
            self.client.delete(*names)
        self.client.config_resetstat()

    def cpu_s(self) -> float:
        """Processor time that the server has used."""
        info: Any = self.client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])

    def used_bytes(self) -> int:
        """Memory that its data takes."""
        info: Any = self.client.info("memory")
        return int(info["used_memory"])

    def entries_added(self) -> int:
        """How many entries all streams of users ever got, trimmed ones included."""
        total = 0
        for names in self._scan("sse:stream:user:*"):
            with self.client.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.xinfo_stream(name)
                total += sum(int(info["entries-added"]) for info in pipe.execute())
        return total

    def _scan(self, pattern: str) -> Iterator[list[bytes]]:
        names = list(self.client.scan_iter(pattern, count=1000))
        for start in range(0, len(names), 1000):
            yield names[start : start + 1000]


@contextmanager
def running_store() -> Iterator[Store]:
    """A fresh server; gone at the end."""
    with EmbeddedServer() as server:
        store = Store(server)
        try:
            yield store
        finally:
            store.client.close()
