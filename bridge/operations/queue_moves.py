"""``QueueMover``: puts what stands on one queue onto another, as after a category was renamed."""

from dataclasses import dataclass

from bridge.amqp_adapter.queue_moves import move_messages
from bridge.model.errors import OperationRefusedError
from bridge.model.log_entry import LogEntry
from bridge.redis_adapter import Store
from bridge.runtime.identity import who_am_i
from bridge.settings import AccountingSettings
from bridge.settings.topology import topology


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What came of a move.

    Attributes:
        messages: that were moved.
        left: that stand on the queue still: they came meanwhile.
    """

    messages: int
    left: int


class QueueMover:
    """Moves messages on Redis one by one, each in one step; on RabbitMQ each is taken when the other queue has it."""

    def __init__(self, store: Store, settings: AccountingSettings) -> None:
        self._store = store
        self._settings = settings

    def move(self, source: str, target: str, *, who: str = "", reason: str = "") -> Moved:
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
        moves = self._store.queue_moves
        if topology(self._settings).on_redis:
            moving = moves.move(source, target)
        else:
            moving = move_messages(self._settings, source, target, lambda book_id: moves.note(target, [book_id]))
        moved = left = 0
        try:
            for moved, left in moving:  # noqa: B007  (the last says it all)
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
                self._store.log.append(entry)
        return Moved(messages=moved, left=left)
