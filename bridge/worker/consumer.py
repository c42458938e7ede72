"""``BridgeConsumer``: Celery's consumer without the chatter between workers that the bridge has no use for."""

from typing import Any

from celery.worker.consumer import Consumer


class BridgeConsumer(Consumer):
    """Consumes the registry's queues."""

    class Blueprint(Consumer.Blueprint):
        """Without native delayed delivery: waiting retries are in the bridge's own retry set."""

        default_steps = tuple(
            step for step in Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["without_mingle"] = True
        kwargs["without_gossip"] = True
        super().__init__(*args, **kwargs)
