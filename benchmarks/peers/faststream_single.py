"""FastStream on a Redis stream: the handler takes one message at a time."""

from typing import Any

from benchmarks.peers.faststream_set_up import Sender, make_broker, run, subscription
from benchmarks.peers.job import AsyncPublisher

__all__ = ["Sender"]

broker = make_broker()
publisher = AsyncPublisher()


@broker.subscriber(stream=subscription(batch=False))
async def publish(raw: dict[str, Any]) -> None:
    """Handle one event."""
    await publisher.publish(raw)


if __name__ == "__main__":
    run(broker)
