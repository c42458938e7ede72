"""The twins of accounting, start counts, metrics and the log of operations."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from uuid import UUID

from msgspec.structs import replace

from bridge.model.accounting import Balance, OpenMessage, Summary
from bridge.model.log_entry import LogEntry
from bridge.ports import OperationsLog
from bridge.testing.state import State, Twin

ENTRIES_MAX = 10_000


class MemoryOperationsLog(Twin):
    """Satisfies ``bridge.ports.OperationsLog``."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._entries: deque[LogEntry] = deque(maxlen=ENTRIES_MAX)

    def append(self, entry: LogEntry) -> None:
        self._entries.appendleft(replace(entry, at_ms=self._state.clock.now_ms()))

    def newest(self, limit: int = 100) -> list[LogEntry]:
        return list(islice(self._entries, limit))


class MemoryAccounting(Twin):
    """Satisfies ``bridge.ports.Accounting``. Nothing is set back here."""

    def __init__(self, state: State, log: OperationsLog) -> None:
        super().__init__(state)
        self._log = log

    def book(self, message_id: str, task: str, queue: str, event_ids: Sequence[UUID]) -> None:
        state = self._state
        state.ensure_room()
        now_ms = state.clock.now_ms()
        if state.booked.get(message_id, -1) > now_ms:
            return
        state.booked[message_id] = now_ms + state.settings.seen_life_s * 1000
        state.enter(message_id, task, queue, [str(event_id) for event_id in event_ids])

    def unfinished(self, message_id: str, event_ids: Collection[str]) -> frozenset[str]:
        record = self._state.open.get(message_id)
        return frozenset(record.event_ids).intersection(event_ids) if record else frozenset()

    def get(self, message_ids: Sequence[str]) -> list[OpenMessage]:
        return [self._message(message_id) for message_id in message_ids if message_id in self._state.open]

    def holding(self, event_id: UUID) -> list[OpenMessage]:
        return [self._message(name) for name, record in self._state.open.items() if str(event_id) in record.event_ids]

    def summaries(self) -> Iterator[Summary]:
        records = list(self._state.open.items())
        for name, record in records:
            yield Summary(name, record.accepted_ms, record.queue, len(record.event_ids))

    def write_off(self, messages: Sequence[OpenMessage], *, who: str, reason: str) -> int:
        state = self._state
        events = sum(
            state.take_open(message.message_id, str(event_id)) for message in messages for event_id in message.event_ids
        )
        state.counts["written_off"] += events
        if events:
            numbers = {"events": events}
            self._log.append(
                LogEntry(who=who, action="audit.write_off", selection="missing events", numbers=numbers, reason=reason)
            )
        return events

    def balance(self) -> Balance:
        return self._state.balance()

    def _message(self, message_id: str) -> OpenMessage:
        record = self._state.open[message_id]
        return OpenMessage(
            message_id=message_id,
            accepted_ms=record.accepted_ms,
            task=record.task,
            queue=record.queue,
            event_ids=tuple(map(UUID, record.event_ids)),
        )


class MemoryStartCounts(Twin):
    """Satisfies ``bridge.ports.StartCounts``."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._starts: Counter[str] = Counter()

    def add(self, message_id: str) -> int:
        self._starts[message_id] += 1
        return self._starts[message_id]

    def take_back(self, message_id: str) -> None:
        self._starts[message_id] -= 1

    def forget(self, message_id: str) -> None:
        self._starts.pop(message_id, None)


class MemoryMasterWatch:
    """Satisfies ``bridge.ports.MasterWatch``; ``elsewhere`` is set where what is written goes to another server."""

    elsewhere = False

    def begin(self, claimed_on: str) -> Callable[[], bool]:  # noqa: ARG002
        return lambda: not self.elsewhere


class MemoryMetrics(Twin):
    """Satisfies ``bridge.ports.Metrics``."""

    def add(self, grown: Sequence[tuple[str, int]]) -> None:
        for name, number in grown:
            self._state.metrics[name] += number
