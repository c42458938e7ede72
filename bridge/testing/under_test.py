"""``BridgeUnderTest``: what the bridge in memory and the live one share: emitting, streams, what became of events."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

from bridge.gateway.authenticator import Principal
from bridge.local.child_process import wait_until
from bridge.messages import TaskMessage
from bridge.model.accounting import Balance
from bridge.model.errors import BridgeError, StoreError
from bridge.model.registry import Id, Registry, TopicAddress
from bridge.ports import Queue
from bridge.producer import default
from bridge.producer.batching import Written
from bridge.producer.diversion import diversion, divert_outboxes
from bridge.producer.emitter import Emitter
from bridge.producer.lifetime import emitters
from bridge.settings import Settings
from bridge.testing.outcomes import Failed, Outcomes, only
from bridge.testing.stream import WAIT_S, Asked, Connection, Patience, Stream
from bridge.wiring import Adapters, stand_in

POLL_S = 0.002


class TestBridgeError(BridgeError):
    """A bridge under test cannot be had as it was asked for; the message says what to do."""

    __test__ = False  # pytest: it is none


class Seen:
    """What this process handed to the broker, and whether it does so twice."""

    def __init__(self) -> None:
        self.accepted: dict[str, str] = {}  # event id → name of its class, in order
        self.twice = False

    def note(self, messages: Sequence[TaskMessage]) -> None:
        """These were sent."""
        for message in messages:
            ids = message.event_ids
            for at in range(0, len(ids), 16):
                self.accepted[str(UUID(bytes=ids[at : at + 16]))] = message.task.rpartition(".")[2]


class OutboxEvents:
    """The events of transactions that a bridge under test has not sent yet; satisfies ``Diversion``."""

    def __init__(self) -> None:
        self._held: list[tuple[Written, Callable[[], bool]]] = []

    def written(self, entry: Written, stands: Callable[[], bool] | None = None) -> None:
        """An event is held until it is taken."""
        self._held.append((entry, stands or (lambda: True)))

    def handled(self, event: Any) -> None:
        """Nothing: handlers publish by themselves."""

    def note_refused(self, event: Any, reason: str) -> None:
        """Nothing: the log has it."""

    def take(self) -> list[Written]:
        """Those whose transaction and savepoint were not rolled back; the others are gone."""
        held, self._held = self._held, []
        return [entry for entry, stands in held if stands()]


class SeenQueue:
    """Satisfies ``bridge.ports.Queue`` over another one: remembers what is sent, and sends it twice on demand."""

    def __init__(self, queue: Queue, seen: Seen) -> None:
        self._queue, self._seen = queue, seen

    def send(self, messages: Sequence[TaskMessage]) -> None:
        self._queue.send(messages)
        self._seen.note(messages)
        if self._seen.twice:
            self._queue.send(messages)

    def insist_on_room(self) -> None:
        self._queue.insist_on_room()

    def prepare(self) -> None:
        self._queue.prepare()

    def close(self) -> None:
        self._queue.close()


class BridgeUnderTest(ABC):
    """A bridge under test.

    Attributes:
        registry: its catalog.
        settings: of all its parts.
        emitter: that of ``bridge.emit`` meanwhile; ``counts`` and ``trouble`` say how it goes.
    """

    registry: Registry
    settings: Settings
    emitter: Emitter

    def __init__(self) -> None:
        self._seen = Seen()
        self._streams: list[Stream] = []
        self._outboxes = OutboxEvents()
        self._away = self._broker_away = 0  # how many faults keep streams, and events, from going on

    # Clients

    def connect(
        self,
        user: Id | Principal,
        *,
        topics: Sequence[TopicAddress | str] = (),
        categories: Sequence[str] = (),
        last_event_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Stream:
        """Open a stream as a user; returns when it hears whatever is published from then on.

        Args:
            user: whose; an id of the registry's kind, or a ``Principal``.
            topics: ``order(42)`` or ``"order:42"``. A plain user may hear those without a ``may_hear``.
            categories: only their events; default: all.
            last_event_id: the id of the last event that the client had, as ``Stream.last_event_id`` tells it.
            headers: more of the request.

        Raises:
            StreamRefusedError: the gateway refuses; has its status and what it says.
        """
        asked = Asked(
            user=user,
            topics=tuple(map(str, topics)),
            categories=tuple(categories),
            headers=tuple({**self._credentials(user, tuple(map(str, topics))), **(headers or {})}.items()),
        )
        stream = Stream(asked, self._dial, self.settle, self.told, last_event_id)
        self._streams.append(stream)
        stream.connect()
        return stream

    @abstractmethod
    def _credentials(self, user: Id | Principal, topics: Sequence[str]) -> dict[str, str]:
        """Headers by which the gateway knows a user."""

    @abstractmethod
    def _dial(self, stream: Stream, last_event_id: str) -> Connection:
        """Open one connection of a stream."""

    # What became of events

    @abstractmethod
    def settle(self) -> Patience:
        """Have all happen that can."""

    def _send(self) -> None:
        """Have sent what was emitted, and what a transaction holds that was not rolled back."""
        self.emitter.carry(self._outboxes.take())
        if self._broker_away:  # until it has been tried
            wait_until(lambda: bool(self.emitter.trouble) or not self._unsent, WAIT_S, POLL_S)
        else:
            self.emitter.flush(WAIT_S)

    @property
    @abstractmethod
    def _outcomes(self) -> Outcomes: ...

    @property
    @abstractmethod
    def balance(self) -> Balance:
        """The accounting, when all has happened that can."""

    @property
    def dead_letters(self) -> list[Failed]:
        """The events that were dead-lettered, the oldest first."""
        self.settle()
        return self._outcomes.dead_letters

    @property
    def retries(self) -> list[Failed]:
        """The events that wait for another attempt."""
        self.settle()
        return self._outcomes.retries

    @property
    def skipped(self) -> list[str]:
        """Ids of the events that had no recipient, of those that this process emitted."""
        self.settle()
        return [name for name in self._seen.accepted if self._outcomes.end_of(name).startswith("skipped")]

    def only_dead_letter(self, event_class: type[Any]) -> Failed:
        """The one event of ``event_class`` that was dead-lettered.

        Raises:
            AssertionError: there is none, or more than one; says what became of what was emitted.
        """
        __tracebackhide__ = True
        return only(self.dead_letters, event_class, "dead-lettered", self.told())

    def only_retry(self, event_class: type[Any]) -> Failed:
        """The one event of ``event_class`` that waits for another attempt.

        Raises:
            AssertionError: as of ``only_dead_letter``.
        """
        __tracebackhide__ = True
        return only(self.retries, event_class, "waiting for another attempt", self.told())

    def all_published(self) -> None:
        """Hold the bridge to have published whatever was emitted here.

        Raises:
            AssertionError: something waits, was skipped, or is dead-lettered; says what.
        """
        __tracebackhide__ = True
        self.settle()
        ends = {name: self._outcomes.end_of(name) for name in self._seen.accepted}
        waiting = 0 if self.emitter.flush(0) else self._unsent
        others = sum(not end.startswith("published") for end in ends.values())
        if others or waiting:
            raise AssertionError(f"Everything was to be published, and {others + waiting} is not.\n{self.told()}")

    def told(self) -> str:
        """What became of what this process emitted, in words, a line each."""
        self.settle()
        try:
            lines = [self._outcomes.listed([(name, one) for one, name in self._seen.accepted.items()])]
        except StoreError as error:
            lines = [f"What became of {len(self._seen.accepted)} events cannot be seen: {error}"]
        if self._unsent:
            lines.append(f"{self._unsent} more wait in the emitter: {self.emitter.trouble or 'they are being sent'}")
        if diversion() is not None:
            lines.append("capture (the fixture emitted) takes every event now, so that none comes here.")
        return "\n".join(lines)

    @property
    def _unsent(self) -> int:
        counts = self.emitter.counts
        return counts["accepted"] - counts["delivered"] - counts["abandoned"]

    # Faults

    @contextmanager
    def duplicate_delivery(self) -> Iterator[None]:
        """Meanwhile each message of this process is on its queue twice, as after a confirmation that was lost."""
        self._seen.twice = True
        try:
            yield
        finally:
            self.emitter.flush()
            self._seen.twice = False

    @contextmanager
    def _being_away(self, *, broker: bool = False) -> Iterator[None]:
        self._away, self._broker_away = self._away + 1, self._broker_away + broker
        try:
            yield
        finally:
            self._away, self._broker_away = self._away - 1, self._broker_away - broker

    @contextmanager
    def client_cut(self, stream: Stream) -> Iterator[None]:
        """Meanwhile the client of ``stream`` has no connection; then it comes back, with the id that it had last."""
        self.settle()
        stream.close()
        try:
            yield
        finally:
            self.settle()
            stream.connect(waits=not self._away)

    # Inside

    @contextmanager
    def _emitting(self, adapters: Adapters) -> Iterator[None]:
        """Have every emitter of this process send there."""
        if diversion() is not None:
            raise TestBridgeError(
                "capture (the fixture emitted) takes every event, so that none would come here: use one of the two."
            )
        before = emitters()
        with ExitStack() as stack:
            stack.callback(self._rewire, before)  # when nothing stands in any more
            with stand_in(adapters), divert_outboxes(self._outboxes), ExitStack() as inner:
                for emitter in before:
                    inner.enter_context(emitter.rewired())
                self.emitter = Emitter(self.settings, self.registry)
                inner.enter_context(default.replaced(self.emitter))
                yield

    def _rewire(self, before: Sequence[Emitter]) -> None:
        """What the code under test has made, and goes on with, goes where its own settings lead."""
        for emitter in emitters():
            if emitter not in before and emitter is not self.emitter:
                emitter.reconnect()

    def _close_streams(self) -> None:
        for stream in self._streams:
            stream.close()


def registry_of(registry: Registry | str | None) -> Registry:
    """The catalog to use: a path is loaded; None is that of ``bridge.configure``, or else the environment's."""
    from bridge.catalogs import load_registry
    from bridge.settings import CatalogSettings, load_settings

    if isinstance(registry, Registry):
        return registry
    if registry is None and (made := default.made()) is not None:
        return made.registry
    return load_registry(registry or load_settings(for_=CatalogSettings).registry)
