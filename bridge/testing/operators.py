"""Twins of what operators watch: reports, figures, queue names, and what is kept of one event."""

from collections.abc import Iterable

from msgspec.structs import replace

from bridge.model.accounting import Recent
from bridge.model.dead_letter import Tombstone
from bridge.model.errors import StoreError
from bridge.model.moments import shown_time
from bridge.ports import Figures, Kept
from bridge.runtime.reports import GatewayStates, KnownWorker, ProducerReport, Reported, WorkerReport, told_apart
from bridge.testing.state import State, Twin

FORGET_AFTER_S = 86_400


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
        )

    def write_refusal(self) -> StoreError | None:
        try:
            with self._state.faults.call():
                return None
        except StoreError as error:
            return error
