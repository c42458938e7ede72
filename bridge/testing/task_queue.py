"""``MemoryQueue``: the twin of the broker's queues, with the half that a worker's consumer has: claim, ack, return."""

from collections import defaultdict, deque
from collections.abc import Sequence
from uuid import UUID

from bridge.messages.task_message import TaskMessage
from bridge.model.errors import StoreError, as_broker_error
from bridge.testing.faults import Faults
from bridge.testing.state import State


class MemoryQueue:
    """Satisfies ``bridge.ports.Queue``. What is claimed is in flight until it is acknowledged or returned.

    Attributes:
        faults: faults of the broker, which may be another server than the store.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.faults = Faults()
        self._queues: defaultdict[str, deque[TaskMessage]] = defaultdict(deque)
        self._in_flight: list[TaskMessage] = []

    def send(self, messages: Sequence[TaskMessage]) -> None:
        """As the port says."""
        try:
            with self.faults.call():
                self._state.ensure_room()
                for message in messages:
                    self._send(message)
        except StoreError as error:
            raise as_broker_error(error, f"The broker did not take {len(messages)} messages.") from error

    def _send(self, message: TaskMessage) -> None:
        ids = message.event_ids
        if ids:
            names = [str(UUID(bytes=ids[at : at + 16])) for at in range(0, len(ids), 16)]
            self._state.enter(message.message_id, message.task, message.queue, names)
        self._queues[message.queue].append(message)

    def insist_on_room(self) -> None:
        """As the port says."""

    def prepare(self) -> None:
        """As the port says."""

    def close(self) -> None:
        """As the port says."""

    # The consumer's half

    def claim(self, queue: str) -> TaskMessage | None:
        """Take the oldest message of a queue claimed; None if there is none."""
        if not self._queues[queue]:
            return None
        message = self._queues[queue].popleft()
        self._in_flight.append(message)
        return message

    def acknowledge(self, message: TaskMessage) -> None:
        """The message is done. Idempotent."""
        if message in self._in_flight:
            self._in_flight.remove(message)

    def messages(self, queue: str) -> tuple[TaskMessage, ...]:
        """What stands on a queue, the oldest first."""
        return tuple(self._queues[queue])
