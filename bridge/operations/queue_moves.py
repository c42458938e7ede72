"""``move_queue``: puts what stands on one queue onto another, as after a category was renamed."""

from dataclasses import dataclass

from bridge.model.errors import OperationRefusedError
from bridge.model.log_entry import LogEntry
from bridge.ports import Store
from bridge.runtime.identity import who_am_i


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What came of a move."""

    messages: int  # that were moved
    left: int  # that stand on the queue still: they came meanwhile


def move_queue(store: Store, source: str, target: str, *, who: str = "", reason: str = "") -> Moved:
    """Move what stands on a queue now; what workers have of it comes back there when they give it up.

    Order is kept, behind what stands on the other queue. Killed at any moment, nothing is lost; on RabbitMQ one
    message may then be on both, which does no harm. It is written into the log of operations.

    Raises:
        OperationRefusedError: it is the same queue.
        BrokerError: the broker is away or refuses; what was moved stays moved.
        StoreError: as everywhere; what was moved stays moved.
    """
    if source == target:
        raise OperationRefusedError(f"{source} is the same queue.")
    moved = left = 0
    try:
        for moved, left in store.queues.move(source, target):  # noqa: B007  (the last says it all)
            pass
    finally:
        if moved:
            entry = LogEntry(
                who=who or who_am_i(),
                action="queues.move",
                selection=f"{source} to {target}",
                numbers={"messages": moved},
                reason=reason,
            )
            store.log.append(entry)
    return Moved(messages=moved, left=left)
