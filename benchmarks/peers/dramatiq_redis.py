"""Dramatiq on Redis.

Settings: https://dramatiq.io/guide.html and https://dramatiq.io/advanced.html (prefetch by environment).
"""

from collections.abc import Sequence
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.job import Publisher, broker_url, pack

dramatiq.set_broker(RedisBroker(url=broker_url()))
_publisher = Publisher()


@dramatiq.actor(queue_name="peer")
def publish(raw: dict[str, Any]) -> None:
    """Handle one event."""
    _publisher.publish(raw)


class Sender:
    """``send``."""

    def one(self, event: Any) -> None:
        """One message."""
        publish.send(pack(event))

    def each(self, events: Sequence[Any]) -> None:
        """One message an event."""
        for event in events:
            publish.send(pack(event))

    def burst(self, events: Sequence[Any]) -> None:
        """The same: Dramatiq has nothing to send many at once."""
        self.each(events)

    def finish(self) -> None:
        """Nothing waits."""
