"""Twins of what is watched: accounting and figures, counts, reports, queue names, the log, and what is kept."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from uuid import UUID

from msgspec.structs import replace

from bridge.model.accounting import Balance, OpenMessage, Recent, Summary
from bridge.model.dead_letter import Tombstone
from bridge.model.errors import StoreError
from bridge.model.log_entry import LogEntry
from bridge.model.moments import shown_time
from bridge.model.position import START, Position
from bridge.ports import Figures, Kept, OperationsLog
from bridge.runtime.reports import GatewayStates, KnownWorker, ProducerReport, Reported, WorkerReport, told_apart
from bridge.runtime.supervision import Supervised
from bridge.testing.state import State, Twin

ENTRIES_MAX = 10_000
FORGET_AFTER_S = 86_400


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


class MemoryWorkers(Twin):
    """Satisfies ``bridge.ports.WorkerReports``."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._heard: dict[str, tuple[int, WorkerReport]] = {}

    def beat(self, name: str, report: WorkerReport, *, sweep: bool = False) -> None:
        now_ms = self._state.clock.now_ms()
        oldest_ms = now_ms - FORGET_AFTER_S * 1000 if sweep else 0
        self._heard = {one: heard for one, heard in self._heard.items() if heard[0] >= oldest_ms}
        self._heard[name] = now_ms, report

    def leave(self, name: str) -> None:
        self._heard.pop(name, None)

    def known(self) -> tuple[KnownWorker, ...]:
        now_ms = self._state.clock.now_ms()
        return told_apart(
            [
                KnownWorker(
                    name=f"{said.host}:{said.pid}", silent_s=(now_ms - at_ms) / 1000, process=process, report=said
                )
                for process, (at_ms, said) in self._heard.items()
            ]
        )


class MemoryProducers(Twin):
    """Satisfies ``bridge.ports.ProducerReports``."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._said: dict[str, ProducerReport] = {}

    def keep(self, producer: str, report: ProducerReport | None) -> None:
        self._said.pop(producer, None)
        if report is not None:
            self._said[producer] = replace(report, at=self._state.clock.now_ms())

    def all(self) -> list[Reported]:
        now_ms = self._state.clock.now_ms()
        return [
            Reported(producer=name, age_s=(now_ms - report.at) / 1000, report=report)
            for name, report in self._said.items()
        ]


class MemoryGateways(Twin):
    """Satisfies ``bridge.ports.GatewayReports``.

    Args:
        state: shared with the other twins.
        began: where the order of the streams began.
    """

    def __init__(self, state: State, began: Callable[[], Position]) -> None:
        super().__init__(state)
        self._began = began

    async def add(
        self,
        name: str,  # noqa: ARG002
        *,
        connections: int,  # noqa: ARG002
        grown: Mapping[str, int],
        troubled: Sequence[Supervised] = (),  # noqa: ARG002
        catalog: str = "-",  # noqa: ARG002
    ) -> str:
        self._state.metrics.update(grown)
        began = self._began()
        return "" if began == START else str(began)

    async def leave(self, name: str) -> None: ...


class MemoryQueueNames(Twin):
    """Satisfies ``bridge.ports.QueueNames``."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self._names: dict[str, None] = {}

    def note(self, names: Iterable[str]) -> None:
        for name in names:
            self._names.pop(name, None)
            self._names[name] = None

    def all(self) -> tuple[str, ...]:
        return tuple(reversed(self._names))


class MemoryKept(Twin):
    """Satisfies ``bridge.ports.KeptEvents``."""

    def look_up(self, event_id: str) -> Kept:
        state = self._state
        waiting, buried = state.retries.get(event_id), state.letters.get(event_id)
        stone, stone_ms = state.tombstones.get(event_id, (None, 0))
        return Kept(
            now_ms=state.clock.now_ms(),
            waits=waiting is not None,
            retry=waiting.record if waiting else None,
            due_ms=waiting.due_ms if waiting else None,
            letter=buried.letter if buried else None,
            skipped_ms=state.skipped.get(event_id),
            tombstone=_dated(stone, stone_ms) if stone else None,
        )


def _dated(stone: Tombstone, at_ms: int) -> Tombstone:
    return replace(stone, at=shown_time(at_ms))


class MemoryOverview(Twin):
    """Satisfies ``bridge.ports.Overview``. No gateway reports here, and nothing is sampled."""

    QUIET = frozenset({"write_refusal"})

    def wrong_keys(self) -> tuple[()]:
        return ()

    def read(self) -> Figures:
        state = self._state
        buried = sorted(letter.at_ms for letter in state.letters.values())
        return Figures(
            at_ms=state.clock.now_ms(),
            retry_next_ms=min((waiting.due_ms for waiting in state.retries.values()), default=None),
            dead_oldest_ms=buried[0] if buried else None,
            dead_newest_ms=buried[-1] if buried else None,
            letters=len(buried),
            letters_bytes=sum(letter.size for letter in state.letters.values()),
            metrics=dict(state.metrics),
            gateways=GatewayStates(processes=0, connections=0),
            recent=Recent(),
            balance=state.balance(),
            withdrawn=len(state.withdrawn),
            withdrawn_newest_ms=max((mark.at_ms for mark in state.withdrawn.values()), default=None),
        )

    def write_refusal(self) -> StoreError | None:
        try:
            with self._state.faults.call():
                return None
        except StoreError as error:
            return error
