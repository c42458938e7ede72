"""celery-batches: one message an event; the worker collects them and runs a task over many.

Settings: https://celery-batches.readthedocs.io (prefetch multiplier 0, so that a batch can fill).
"""

from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery_batches import Batches

from benchmarks.peers.job import Publisher, broker_url, pack

app = Celery("peer", broker=broker_url())
app.conf.update(
    task_ignore_result=True,
    result_backend=None,
    worker_prefetch_multiplier=0,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    task_default_queue="peer",
)
_publisher = Publisher()


@app.task(name="publish", base=Batches, flush_every=500, flush_interval=0.1)
def publish(requests: Sequence[Any]) -> None:
    """Handle a batch."""
    _publisher.publish(*(request.args[0] for request in requests))


class Sender:
    """``apply_async``."""

    def one(self, event: Any) -> None:
        """One message."""
        publish.apply_async(args=(pack(event),))

    def each(self, events: Sequence[Any]) -> None:
        """One message an event, over one connection that is kept."""
        with app.producer_or_acquire() as producer:
            for event in events:
                publish.apply_async(args=(pack(event),), producer=producer)

    def burst(self, events: Sequence[Any]) -> None:
        """The same: this Celery's kombu cannot write many at once."""
        self.each(events)

    def finish(self) -> None:
        """Nothing waits: each call returned when the broker had the message."""
