"""FastStream on a Redis stream: the handler takes up to 500 messages at a time."""

from typing import Any

from benchmarks.peers.faststream_set_up import Sender, make_broker, run, subscription
from benchmarks.peers.job import AsyncPublisher

__all__ = ["Sender"]

broker = make_broker()
publisher = AsyncPublisher()


@broker.subscriber(stream=subscription(batch=True))
async def publish(raws: list[dict[str, Any]]) -> None:
    """Handle what one read brought."""
    await publisher.publish(*raws)


if __name__ == "__main__":
    run(broker)
