"""``MemoryQueue``: the twin of the broker's queues: sending, claiming, and what operators see and move."""

from base64 import b64encode
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from bridge.messages.queue_item import QueuedMessage, QueueState, age_s
from bridge.messages.task_message import TaskMessage
from bridge.model.errors import StoreError, as_broker_error
from bridge.testing.state import Faults, State, id_texts


class MemoryQueue:
    """Satisfies ``bridge.ports.Queue`` and ``bridge.ports.BrokerQueues``; a ``MemoryStore`` has one, as ``queue``.

    What is claimed is in flight until it is acknowledged or returned.

    Args:
        state: of the store.

    Attributes:
        faults: faults of the broker, which may be another server than the store.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self.faults = Faults(state.faults.lock)
        self._queues: defaultdict[str, deque[TaskMessage]] = defaultdict(deque)
        self._in_flight: list[TaskMessage] = []

    def send(self, messages: Sequence[TaskMessage]) -> None:
        with self._call():
            self._state.ensure_room()
            for message in messages:
                self._send(message)

    def _send(self, message: TaskMessage) -> None:
        ids = message.event_ids
        if ids:
            self._state.enter(message.message_id, message.task, message.queue, id_texts(ids))
        self._queues[message.queue].append(message)

    def put_back(self, message: TaskMessage) -> None:
        """Put ``message`` on its queue, which is accounted for elsewhere: behind the others."""
        self._queues[message.queue].append(message)

    def insist_on_room(self) -> None: ...

    def prepare(self) -> None: ...

    def close(self) -> None: ...

    # The consumer's half

    def claim(self, queue: str) -> TaskMessage | None:
        """Claim the oldest message of ``queue``; None if there is none."""
        with self.faults.lock:
            if not self._queues[queue]:
                return None
            message = self._queues[queue].popleft()
            self._in_flight.append(message)
            return message

    def acknowledge(self, message: TaskMessage) -> None:
        """``message`` is done. Idempotent."""
        if message in self._in_flight:
            self._in_flight.remove(message)

    def give_back(self, message: TaskMessage) -> None:
        """``message`` stands on its queue again, before all others."""
        with self.faults.lock:
            self.acknowledge(message)
            self._queues[message.queue].appendleft(message)

    def names(self) -> tuple[str, ...]:
        """The queues on which anything stood so far."""
        with self.faults.lock:
            return tuple(self._queues)

    def standing(self, queue: str) -> tuple[TaskMessage, ...]:
        """What stands on ``queue``, the oldest first."""
        return tuple(self._queues[queue])

    # The operators' half, as ``bridge.ports.BrokerQueues``

    def find(self, *, thorough: bool = False) -> frozenset[str]:  # noqa: ARG002  (all is seen at once)
        with self._call():
            return frozenset(name for name, messages in self._queues.items() if messages)

    def read(self, names: Sequence[str], now_ms: int) -> tuple[list[QueueState], int | None]:
        with self._call():
            return [self._queue_state(name, now_ms) for name in names], len(self._in_flight)

    def _queue_state(self, name: str, now_ms: int) -> QueueState:
        messages = self._queues.get(name, ())
        head = messages[0] if messages else None
        record = self._state.open.get(_book_id(head)) if head else None
        return QueueState(
            name=name,
            depth=len(messages),
            oldest_age_s=age_s(record.accepted_ms if record else None, now_ms),
            task=head.task if head else "",
        )

    def wrong_keys(self, names: Sequence[str]) -> tuple[()]:  # noqa: ARG002
        return ()

    def claimed(self) -> Counter[str]:
        with self._call():
            return Counter(message.queue for message in self._in_flight)

    def messages(self, queues: Sequence[str]) -> Iterator[QueuedMessage]:
        with self._call():
            standing = [(message, False) for name in queues for message in self._queues.get(name, ())]
        for message, claimed in [*standing, *((message, True) for message in self._in_flight)]:
            yield QueuedMessage(
                message_id=message.message_id,
                book_id=_book_id(message),
                claimed=claimed,
                body=b64encode(message.body()).decode(),
            )

    def move(self, source: str, target: str) -> Iterator[tuple[int, int]]:
        with self._call():
            moved = 0
            while self._queues[source]:
                message = replace(self._queues[source].popleft(), queue=target)
                self._queues[target].append(message)
                if record := self._state.open.get(_book_id(message)):
                    record.queue = target
                moved += 1
        yield moved, 0

    @contextmanager
    def _call(self) -> Iterator[None]:
        try:
            with self.faults.call():
                yield
        except StoreError as error:
            raise as_broker_error(error, "The broker did not answer.") from error


def _book_id(message: TaskMessage) -> str:
    return message.booked_as or message.message_id
