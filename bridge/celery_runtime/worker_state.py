"""What Celery's worker says of itself, as values of ours: what its loop sees, and what it has claimed."""

import time
from collections.abc import Iterable
from typing import Any

from celery.worker import state

from bridge.worker.heartbeat import ClaimedWork, LoopState


def loop_state(worker: Any) -> LoopState:
    """What the consuming loop of a Celery worker sees. Called in that loop."""
    consumer = getattr(worker.consumer, "task_consumer", None)
    return LoopState(
        queues=tuple(queue.name for queue in consumer.queues) if consumer else (),
        processes=worker.pool.num_processes or 0,
        refused=getattr(worker.consumer, "refused_queues", {}),
        blocked=getattr(getattr(worker.consumer, "event_dispatcher", None), "blocked", False),
    )


def claimed_work() -> ClaimedWork:
    """What the worker of this process has taken; for any thread."""
    # The loop changes these meanwhile; copying a dict's values is one step of the interpreter.
    requests = list(state.requests.values())
    return ClaimedWork(
        consumed=state.all_total_count[0],
        in_hand=len(requests),
        running=sum(request.time_start is not None for request in requests),
        oldest_s=_oldest_age_s(requests),
    )


def _oldest_age_s(requests: Iterable[Any]) -> float:
    """Since the oldest running message of the bridge was started."""
    begun = min((at for request in requests if (at := getattr(request, "begun_s", None)) is not None), default=None)
    return 0.0 if begun is None else time.monotonic() - begun
