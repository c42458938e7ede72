"""``memory_bridge``: the whole bridge in this process, from ``emit`` to the frames of streams, without a server.

Emitter, handler, retry mover and gateway are the real ones; the twins stand for Redis and the broker. Nothing happens
by itself but sending: a worker works, and streams are read, whenever a test asks for something, on its own thread.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from time import time
from typing import Any

from bridge.gateway.authenticator import Authenticator, AuthRequest, Principal
from bridge.model.accounting import Balance
from bridge.model.errors import AddressError, UnauthorizedError, require_extra
from bridge.model.registry import Id, Registry, TopicAddress
from bridge.ports import GatewayPorts, ProducerReports, Queue, Store
from bridge.settings import Settings
from bridge.testing.gateway_thread import GatewayThread
from bridge.testing.outcomes import Outcomes
from bridge.testing.state import ManualClock
from bridge.testing.store import MemoryStore
from bridge.testing.stream import WAIT_S, Connection, Patience, Stream
from bridge.testing.under_test import BridgeUnderTest, SeenQueue, registry_of
from bridge.testing.worker import MemoryWorker

WHO = "x-bridge-testing-client"
"""Header that names the principal of a stream."""
AT_ONCE = Patience(for_more_s=0.0, for_nothing_s=0.0)
DISTURBED = Patience(for_more_s=WAIT_S, for_nothing_s=0.3)
"""Once the store was away: the gateway waits a while before it asks again."""
PASSED_MAX_S = 30 * 86_400.0
"""Seconds that ``advance_until_ended`` lets pass at most."""


class MemoryBridge(BridgeUnderTest):
    """See ``memory_bridge``.

    Attributes:
        store: the twins, for looking at.
        clock: their time, which stands until it is told to go on.
    """

    def __init__(self, registry: Registry, settings: Settings, authenticator: Authenticator | None) -> None:
        super().__init__()
        self.registry, self.settings = registry, settings
        self.store = MemoryStore(settings, ManualClock(time()))
        self.clock = self.store.clock
        self._worker = MemoryWorker(settings, registry, self.store)
        self._own_authenticator = authenticator
        self._principals: dict[str, Principal] = {}
        self._disturbed = False
        self._gateway = GatewayThread(self._make_gateway)

    def _make_gateway(self) -> Any:
        from bridge.gateway import create_app

        return create_app(
            self.settings, self.registry, authenticator=self._own_authenticator or _Known(self._principals)
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around everything else."""
        with self._emitting(_Adapters(self)):
            self._gateway.start()
            try:
                yield
            finally:
                self._close_streams()
                self._gateway.close()

    # Time

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, so that retries become due, and have everything happen that can."""
        self.settle()
        self.clock.advance(seconds)
        self.settle()

    def advance_until_ended(self) -> None:
        """Let so much time pass that no event waits for another attempt: each is published, skipped or dead-lettered.

        Raises:
            AssertionError: some wait after a month.
        """
        __tracebackhide__ = True
        until_s = self.clock.now_s() + PASSED_MAX_S
        self.settle()
        while (due := [waiting.due_ms for waiting in self.store.retries.in_order()]) and self.clock.now_s() < until_s:
            self.advance(max(0.001, min(due) / 1000 - self.clock.now_s() + 0.001))
        if due:
            raise AssertionError(f"{len(due)} events wait for another attempt after a month.\n{self.told()}")

    def settle(self) -> Patience:
        """Have sent what was emitted, have it handled, and have the streams told."""
        self._send()
        self._worker.work()
        self._gateway.settle()
        return DISTURBED if self._disturbed else AT_ONCE

    @property
    def balance(self) -> Balance:
        """The accounting, when all has happened that can."""
        self.settle()
        return self.store.balance()

    @property
    def _outcomes(self) -> Outcomes:
        return Outcomes(self.store.operators_store)

    def _credentials(self, user: Id | Principal, topics: Sequence[str]) -> dict[str, str]:
        if self._own_authenticator is not None:
            return {}
        name = str(len(self._principals))
        self._principals[name] = (
            user if isinstance(user, Principal) else Principal(user=user, topics=self._known(topics))
        )
        return {WHO: name}

    def _known(self, topics: Sequence[str]) -> list[TopicAddress]:
        """The topics that there are; of the others the gateway says what is wrong."""
        known = []
        for text in topics:
            with suppress(AddressError):
                known.append(self.registry.addresses.parse(text))
        return [address for address in known if isinstance(address, TopicAddress)]

    def _dial(self, stream: Stream, last_event_id: str) -> Connection:
        return self._gateway.dial(stream, last_event_id)

    # Faults

    @contextmanager
    def broker_away(self) -> Iterator[None]:
        """Meanwhile nothing reaches the broker: the emitter keeps what it accepts, or spools it, and says so."""
        self.settle()
        self.store.queue.faults.go_away()
        try:
            with self._being_away(broker=True):
                yield
        finally:
            self.store.queue.faults.mend()
            self.settle()

    @contextmanager
    def store_away(self) -> Iterator[None]:
        """Meanwhile the store does not answer: workers wait, and streams hear nothing; then both go on."""
        self.settle()
        self._disturbed = True
        self.store.faults.go_away()
        self.store.channels.cut()
        try:
            with self._being_away():
                yield
        finally:
            self.store.faults.mend()
            self.settle()

    @contextmanager
    def slow_extractor(self, event_class: type[Any]) -> Iterator[None]:
        """Meanwhile the extractor of ``event_class`` runs out of time, at once: no test waits for it."""
        with self._worker.slow(event_class):
            yield
            self.settle()


@contextmanager
def memory_bridge(
    registry: Registry | str | None = None,
    *,
    settings: Settings | None = None,
    authenticator: Authenticator | None = None,
) -> Iterator[MemoryBridge]:
    """Have whatever is emitted in this process go through a bridge in memory, and read its streams.

    Every emitter of the process sends there meanwhile, also one that is made meanwhile; a gateway that the code under
    test starts serves from there, and ``disconnect`` is heard.

    Args:
        registry: the catalog, or its path as ``package.module:attribute``; default: that of ``bridge.configure``, or
            else the environment's.
        settings: default: as in an empty environment.
        authenticator: the application's own, which is then asked by ``connect``'s headers; default: whoever connects
            is believed.

    Raises:
        MissingExtraError: the extra ``gateway`` is not installed.
        RegistryError: the registry cannot be loaded.
        TestBridgeError: a capture takes all events.
    """
    require_extra("gateway", "A bridge in memory", "starlette", "jwt")
    bridge = MemoryBridge(registry_of(registry), settings or Settings(), authenticator)
    with bridge.running():
        yield bridge


class _Known:
    """Believes whoever connects through the bridge under test."""

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        self._principals = principals

    async def identify(self, request: AuthRequest) -> Principal:
        """See ``Authenticator``."""
        principal = self._principals.get(request.headers.get(WHO, ""))
        if principal is None:
            raise UnauthorizedError("Open streams by memory_bridge.connect().")
        return principal


class _Adapters:
    """What stands behind the ports meanwhile; satisfies ``Adapters``."""

    def __init__(self, bridge: MemoryBridge) -> None:
        self._bridge, self._store = bridge, bridge.store

    def open_store(self, settings: object, **how: bool) -> Store:  # noqa: ARG002
        return self._store.operators_store

    def open_queue(self, settings: object, registry: Registry) -> Queue:  # noqa: ARG002
        return SeenQueue(self._store.queue, self._bridge._seen)

    def gateway_ports(self, settings: object) -> GatewayPorts:  # noqa: ARG002
        return self._store.gateway_ports

    def producer_reports(self, settings: object) -> tuple[ProducerReports, Callable[[], None]]:  # noqa: ARG002
        return self._store.producers, lambda: None
