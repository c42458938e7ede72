"""``live_bridge``: a server of its own, a worker and a gateway as real processes on this machine, for tests."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from bridge.gateway.authenticator import Principal
from bridge.local import EmbeddedServer, LocalStack, is_live
from bridge.local.child_process import wait_until
from bridge.local.redis_server import free_port
from bridge.local.stack import environment_of
from bridge.model.accounting import Balance
from bridge.model.errors import WORKER_VERSIONS, BrokerError, StoreError, require_extra, require_versions
from bridge.model.registry import Id, Registry
from bridge.ports import GatewayPorts, ProducerReports, Queue, Store
from bridge.settings import Settings
from bridge.testing.http_connection import EVENTS_PATH, HttpConnection
from bridge.testing.outcomes import Outcomes
from bridge.testing.slow_registry import VARIABLE
from bridge.testing.stream import Connection, Patience, Stream
from bridge.testing.under_test import BridgeUnderTest, SeenQueue, TestBridgeError, registry_of
from bridge.wiring import Outside

HASTY = Settings(gateway_dev=True, retry_base_s=0.1, retry_cap_s=1.0, visibility_timeout_s=6, task_time_limit_s=4)
"""So that a test need not wait long for what takes minutes in production."""
SLOW_LIMIT_S = 1
WAIT_S = 120.0
"""How long a process is waited for: a deadline, and no measure."""
PATIENCE = Patience(for_more_s=WAIT_S, for_nothing_s=0.3)
POLL_S = 0.01
LOG_LINES = 2_000


class LiveProcesses:
    """Two servers, a worker and a gateway; started once, and ended with ``stop``, or with this process.

    Args:
        registry: its path, as ``package.module:attribute``; the processes must be able to import it.
        settings: default: such that retries are quick.

    Attributes:
        log: what they wrote last, each line with the name of its process.
    """

    def __init__(self, registry: str, settings: Settings | None = None) -> None:
        require_versions("worker,gateway,embedded", "A live bridge", WORKER_VERSIONS)
        require_extra("worker,gateway,embedded", "A live bridge", "uvicorn", "starlette", "jwt")
        self.path = registry
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._stack = LocalStack(lambda name, line: self.log.append(f"{name} | {line}"))
        self._asked = replace(settings or HASTY, registry=registry)

    def start(self) -> None:
        """Return when all are ready.

        Raises:
            MissingExtraError: there is no server.
            BridgeError: a process does not start; the message has what it wrote.
        """
        try:
            self.broker, self.store = self._stack.add_server(), self._stack.add_server()
            self.settings = replace(
                self._asked, broker_url=self.broker.url, redis_url=self.store.url, gateway_port=free_port()
            )
            self.worker = self._stack.add_worker(self.settings)
            self.gateway = self._stack.add_gateway(self.settings)
            self._wait_for_worker()
            self._wait(lambda: is_live(self.settings.gateway_host, self.settings.gateway_port), "The gateway")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all of them. Idempotent."""
        self._stack.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name; of the two servers that of the store."""
        return self._stack.pids

    def replace_worker(self, settings: Settings, more: Mapping[str, str] = MappingProxyType({})) -> None:
        """Have another worker, with other settings."""
        self.end_worker()
        self.start_worker(settings, more)

    def end_worker(self, *, kill: bool = False) -> None:
        """Have none, from now on."""
        self._stack.end(self.worker, kill=kill)

    def start_worker(self, settings: Settings, more: Mapping[str, str] = MappingProxyType({})) -> None:
        """Have one again, with more variables; returns when it is ready."""
        self.worker = self._stack.add_worker(settings, **more)
        self._wait_for_worker()

    def _wait_for_worker(self) -> None:
        self._wait(self.worker.is_ready.is_set, "The worker")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        try:
            self._stack.wait_for(condition, what, WAIT_S)
        except Exception as error:
            raise TestBridgeError(f"{error}\n" + "\n".join([*self.log][-30:])) from None


class LiveBridge(BridgeUnderTest):
    """See ``live_bridge``.

    Attributes:
        processes: that it is made of.
    """

    def __init__(self, processes: LiveProcesses) -> None:
        super().__init__()
        self.processes, self.settings = processes, processes.settings
        self.registry = registry_of(processes.path)
        self._store = Outside().open_store(self.settings, briefly=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around everything else, while the processes run."""
        self._since_ms = self._store.clock.now_ms()
        with ExitStack() as stack:
            stack.callback(self._store.close)
            stack.enter_context(self._emitting(_Adapters(self)))
            stack.callback(self._close_streams)
            yield

    @property
    def url(self) -> str:
        """Of the stream; in development mode it wants ``?user_id=``."""
        return f"http://{self.settings.gateway_host}:{self.settings.gateway_port}{EVENTS_PATH}"

    @property
    def environment(self) -> dict[str, str]:
        """The BRIDGE_* variables with which another process emits here, or an operator's command looks."""
        return environment_of(self.settings)

    def settle(self) -> Patience:
        """Have sent what was emitted here, and wait until every accepted event has ended or waits for a retry.

        Raises:
            AssertionError: some are on their way after two minutes.
        """
        self._send()
        if not self._away:
            self._wait_until(lambda: self._store.accounting.balance().open == 0)
        return PATIENCE

    @property
    def balance(self) -> Balance:
        """The accounting of the whole run, when all has happened that can.

        Raises:
            AssertionError: as of ``settle``.
        """
        self.settle()
        return self._store.accounting.balance()

    @property
    def _outcomes(self) -> Outcomes:
        return Outcomes(self._store, self._since_ms)

    def _credentials(self, user: Id | Principal, topics: Sequence[str]) -> dict[str, str]:  # noqa: ARG002
        return {}

    def _dial(self, stream: Stream, last_event_id: str) -> Connection:
        user = stream.asked.user
        query = {"user_id": str(user)} if self.settings.gateway_dev else {}
        return HttpConnection(self.settings.gateway_host, self.settings.gateway_port, stream, last_event_id, query)

    # Faults

    @contextmanager
    def broker_away(self) -> Iterator[None]:
        """Meanwhile the broker is down: emitters keep what they accept, or spool it, and say so.

        Raises:
            AssertionError: as of ``settle``.
        """
        with self._down(self.processes.broker, broker=True):
            yield

    @contextmanager
    def store_away(self) -> Iterator[None]:
        """Meanwhile the store is down: workers wait, and streams hear nothing; then both go on.

        Raises:
            AssertionError: as of ``settle``.
        """
        with self._down(self.processes.store):
            yield

    @contextmanager
    def _down(self, server: EmbeddedServer, *, broker: bool = False) -> Iterator[None]:
        self.settle()
        server.kill()
        try:
            with self._being_away(broker=broker):
                yield
        finally:
            server.start()

    @contextmanager
    def slow_extractor(self, event_class: type[Any]) -> Iterator[None]:
        """Meanwhile the extractor of ``event_class`` takes forever, and runs out of time after less than a second.

        Raises:
            AssertionError: as of ``settle``.
        """
        settings = replace(
            self.settings, registry="sse_bridge.testing.slow_registry:registry", task_time_limit_s=SLOW_LIMIT_S
        )
        slow = {VARIABLE: f"{self.processes.path} {event_class.__name__}"}
        self.settle()
        self.processes.replace_worker(settings, more=slow)
        try:
            yield
        finally:
            self.processes.replace_worker(self.settings)

    @contextmanager
    def worker_killed(self) -> Iterator[None]:
        """Kill the worker as it is, with all its processes; at the end there is another one."""
        self.processes.end_worker(kill=True)
        try:
            with self._being_away():
                yield
        finally:
            self.processes.start_worker(self.settings)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; AssertionError where it is not in time."""

        def holds() -> bool:
            """Whether it is; a store that has just come back may not answer yet."""
            try:
                return condition()
            except (StoreError, BrokerError):
                return False

        if not wait_until(holds, WAIT_S, POLL_S):
            balance = self._store.accounting.balance()
            raise AssertionError(f"{balance.open} events are on their way after {WAIT_S:g} s.")


@contextmanager
def live_bridge(registry: Registry | str | None = None, *, settings: Settings | None = None) -> Iterator[LiveBridge]:
    """Have whatever is emitted in this process go through real processes, and read their streams.

    Starts in seconds: share one among tests, as the fixture of this name does. As ``memory_bridge``, but that time is
    real, and ``environment`` is for processes that emit, too.

    Args:
        registry: its path, as ``package.module:attribute``, or itself, where an imported module has it under a name.
        settings: default: such that retries are quick, and whoever connects is believed.

    Raises:
        MissingExtraError: an extra (``worker``, ``gateway``, ``embedded``) is not installed.
        TestBridgeError: the registry has no path, a process does not start, or a capture takes all events.
    """
    processes = LiveProcesses(path_of(registry), settings)
    processes.start()
    try:
        bridge = LiveBridge(processes)
        with bridge.running():
            yield bridge
    finally:
        processes.stop()


def path_of(registry: Registry | str | None) -> str:
    """How other processes find a catalog; empty for the built-in one.

    Raises:
        TestBridgeError: no imported module has it.
    """
    if isinstance(registry, str):
        return registry
    if registry is None:
        from bridge.settings import CatalogSettings, load_settings

        return load_settings(for_=CatalogSettings).registry
    if found := [*_places_of(registry)]:
        # Where its events are it was made, most likely; a test has only imported it.
        own = {mapping.domain_event_class.__module__ for mapping in registry.mappings}
        module, attribute = min(found, key=lambda place: (place[0] not in own, "test" in place[0]))
        return f"{module}:{attribute}"
    raise TestBridgeError(
        "The processes of a live bridge import the catalog by its path, and no imported module has this one under a "
        'name: give "package.module:attribute".'
    )


def _places_of(registry: Registry) -> Iterator[tuple[str, str]]:
    """Modules that have it, and under which name."""
    for name, module in [*sys.modules.items()]:
        for attribute, value in [*getattr(module, "__dict__", {}).items()]:
            if value is registry and name != "__main__":
                yield name, attribute


class _Adapters:
    """What stands behind the ports meanwhile: the live bridge's, whatever the settings; satisfies ``Adapters``."""

    def __init__(self, bridge: LiveBridge) -> None:
        self._bridge, self._settings = bridge, bridge.settings

    def open_store(self, settings: object, **how: bool) -> Store:  # noqa: ARG002
        return Outside().open_store(self._settings, **how)

    def open_queue(self, settings: object, registry: Registry) -> Queue:  # noqa: ARG002
        return SeenQueue(Outside().open_queue(self._settings, registry), self._bridge._seen)

    def gateway_ports(self, settings: object) -> GatewayPorts:  # noqa: ARG002
        return Outside().gateway_ports(self._settings)

    def producer_reports(self, settings: object) -> tuple[ProducerReports, Callable[[], None]]:  # noqa: ARG002
        return Outside().producer_reports(self._settings)
