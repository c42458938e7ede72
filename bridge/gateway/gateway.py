"""What one gateway process holds: its hub, its reader of the history and its sessions, from start to end."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from bridge.gateway.connection import FINISH_S, LINGER_S, Ending, ResponseWriter, connection_of
from bridge.gateway.counter_reporter import CounterReporter
from bridge.gateway.hub import Hub, Subscriptions
from bridge.gateway.refusal import RequestRefusedError, unavailable
from bridge.gateway.replay_reader import ReplayReader
from bridge.gateway.request import EventEncoder, StreamRequest
from bridge.gateway.session import Session
from bridge.gateway.topics import Rechecks, TopicRights
from bridge.gateway.withdrawals import WITHDRAWN, Admission, KnownWithdrawals
from bridge.model.counting import Counters
from bridge.model.errors import BridgeError, StoreError, UnauthorizedError
from bridge.model.plain_text import plain_logger
from bridge.model.position import Position
from bridge.model.registry import Id, Registry
from bridge.model.registry.identity import identity_of
from bridge.ports import Tickets
from bridge.runtime.supervision import SupervisedTask
from bridge.settings import StreamSettings
from bridge.wiring import gateway_ports

logger = plain_logger(__name__)

READY_TIMEOUT_S = 1.0
"""How long Redis may take to answer before this process counts as not ready."""
RETRY_AFTER_S = (2.0, 10.0)
"""When a client that found no room is told to come again."""
LEFT_EVERY_S = 0.02
"""How often it is looked whether all have left, at the end."""
NOT_RUNNING = (
    "This gateway was not started. Its server must run its lifespan (no --lifespan off; Daphne has none), and so must "
    "an application that mounts it: by add_bridge(…, lifespan_of=that application), or by `async with "
    "gateway.router.lifespan_context(gateway): yield` in its own."
)
SWEEP_EVERY_S = 2.0
"""How often it is looked whether connections have ended of which the server said nothing."""
SWEEP_SLICE = 500
"""Streams looked at before others get a turn."""


class Gateway:
    """One process's streams, and their tasks. Use ``running`` around everything else.

    ``draining`` says that the process is ending.
    """

    def __init__(self, settings: StreamSettings, registry: Registry) -> None:
        self.counters = Counters()
        self.sessions: dict[Session, Admission] = {}
        self.draining = False
        self.tasks: tuple[SupervisedTask, ...] = ()
        self._running = False
        self._settings = settings
        self._catalog = str(identity_of(registry))
        self._encoder = EventEncoder(registry, self.counters)
        self.topic_rights = TopicRights(registry, self.counters)
        self.rechecks = Rechecks(self.topic_rights, settings.gateway_topics_recheck_s, self.counters)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to Redis; whether it is there or not."""
        ports = gateway_ports(self._settings)
        self.subscriptions = Subscriptions(ports.channels)
        self._history = ports.event_log
        self._replay_reader = ReplayReader(self._history, self._encoder, self.counters)
        tally = CounterReporter(
            ports.reports, self.counters, lambda: len(self.sessions), self._catalog, self._note_beginning
        )
        self._tickets = ports.tickets
        self._withdrawals = KnownWithdrawals(
            ports.withdrawn,
            ttl_s=self._settings.disconnect_ttl_s,
            counters=self.counters,
            on_news=self._end_withdrawn,
        )
        hub = Hub(
            ports.open_channel, self.subscriptions, self._encoder.read, self.counters, self._vouch, self._withdrawals
        )
        self.tasks = (
            SupervisedTask(hub.run, name="bridge-gateway-hub"),
            SupervisedTask(tally.run, name="bridge-gateway-tally"),
            SupervisedTask(self._sweep, name="bridge-gateway-sweep"),
            SupervisedTask(self.rechecks.run, name="bridge-gateway-rechecks"),
        )
        for task in self.tasks:
            task.start()
        self._running = True
        try:
            yield
        finally:
            self.drain()
            await self._until_left()
            self._running = False
            await asyncio.gather(*(task.stop() for task in self.tasks))
            await self._replay_reader.close()
            await tally.close()
            await ports.close()

    async def _vouch(self, channel: str, message: bytes, heard_age_s: float) -> None:
        """Have all clients told if Redis does not know any more what this process has heard."""
        if heard_age_s > self._settings.seen_life_s / 2 or await self._history.vouch(channel, message):
            return
        self.counters.redis_set_back += 1
        logger.error(
            "bridge.gateway.redis_set_back: Redis does not know any more what was heard %.0f s ago; clients are told "
            "to load anew.",
            heard_age_s,
        )

    def _note_beginning(self, began: Position) -> None:
        """Have every client that was here before the order began told that events may be missing."""
        told = sum(session.note_beginning(began) for session in tuple(self.sessions))
        if told:
            logger.warning("bridge.gateway.order_anew clients=%d", told)

    async def take_ticket(self, digest: str) -> bytes | None:
        """As ``bridge.ports.Tickets.take``.

        Raises:
            RequestRefusedError: the gateway was not started.
        """
        return await self.tickets.take(digest)

    @property
    def tickets(self) -> Tickets:
        """Where tickets are kept.

        Raises:
            RequestRefusedError: the gateway was not started.
        """
        if not self._running:
            raise self._not_running()
        return self._tickets

    def _not_running(self) -> RequestRefusedError:
        logger.error("bridge.gateway.not_running: %s", NOT_RUNNING)
        return RequestRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, NOT_RUNNING)

    def _end_withdrawn(self) -> None:
        """End the streams whose right was withdrawn, or is to be asked for again."""
        for session, admission in tuple(self.sessions.items()):
            if self._withdrawals.refuses(admission) or self._withdrawals.outdates(admission):
                session.end(Ending.WITHDRAWN)

    def closed(self) -> BridgeError | None:
        """Why no stream can be opened for anybody now, if so."""
        if self.draining:
            retry_after_s = random.uniform(*RETRY_AFTER_S)  # noqa: S311  (no secret)
            return unavailable("This gateway is shutting down; connect again.", retry_after_s)
        return None if self._running else self._not_running()

    def refusal(self, admission: Admission) -> BridgeError | None:
        """Why no further stream can be opened for this user now, if so."""
        if refusal := self.closed():
            return refusal
        retry_after_s = random.uniform(*RETRY_AFTER_S)  # noqa: S311  (no secret)
        if self._withdrawals.refuses(admission):
            return UnauthorizedError(WITHDRAWN)
        if self._withdrawals.outdates(admission):  # by a sign-out on the way here, maybe of another browser
            return unavailable("Your user has just signed out somewhere; connect again.", retry_after_s)
        if len(self.sessions) >= self._settings.gateway_clients_max:
            return unavailable("This gateway has no room for another stream; try again later.", retry_after_s)
        if self.subscriptions.listeners(admission.principal.user) >= self._settings.gateway_streams_per_user:
            self.counters.users_full += 1
            return unavailable("You have too many streams open; close one, and try again later.", retry_after_s)
        return None

    async def serve(
        self, admission: Admission, request: StreamRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one client until its stream ends."""
        settings = self._settings
        principal = admission.principal
        connection_of(scope).on_shutdown(self.drain)
        wire = ResponseWriter(
            scope,
            send,
            self.counters,
            send_timeout_s=settings.gateway_send_timeout_s,
            heartbeat_s=settings.gateway_heartbeat_s,
        )
        session = Session(
            principal=principal,
            request=request,
            wire=wire,
            subscriptions=self.subscriptions,
            replay_reader=self._replay_reader,
            settings=settings,
            counters=self.counters,
        )
        self.sessions[session] = admission
        self.counters.streams_opened += 1
        if request.topics:
            self.counters.topics_opened += 1
            self.rechecks.watch(session, principal, request.topics)
        try:
            self._note(principal.user, await session.run(receive))
        finally:
            del self.sessions[session]
            self.rechecks.forget(session)

    def drain(self) -> None:
        """End every stream, and open no more."""
        if not self.draining:
            self.draining = True
            logger.info("bridge.gateway.drained clients=%d", len(self.sessions))
        for session in tuple(self.sessions):
            session.end(Ending.SHUTDOWN)

    async def redis_fault(self, within_s: float = READY_TIMEOUT_S) -> str:
        """Why Redis takes no commands; empty if it does."""
        if not self._running:
            return NOT_RUNNING
        try:
            async with asyncio.timeout(within_s):
                await self._replay_reader.now()
        except StoreError as error:
            return str(error)
        except TimeoutError:
            return f"It did not answer within {within_s:g} s."
        return ""

    @property
    def faults(self) -> tuple[str, ...]:
        """What of this process does not run as it should, in sentences."""
        if not self._running:
            return () if self.draining else (NOT_RUNNING,)
        ailing = [task.state for task in self.tasks if task.done() or task.state.in_trouble]
        return tuple(f"The task {state.name} failed: {state.error or 'it has ended'}." for state in ailing)

    async def _sweep(self) -> None:
        """End the streams whose connections have ended without a word."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            for number, session in enumerate(tuple(self.sessions), start=1):
                if session.look():
                    self.counters.connections_lost += 1
                    session.end(Ending.CLIENT_LEFT)
                if number % SWEEP_SLICE == 0:
                    await asyncio.sleep(0)

    async def _until_left(self) -> None:
        """Give the streams the time to say when their clients shall come back."""
        deadline = time.monotonic() + FINISH_S + LINGER_S
        while self.sessions and time.monotonic() < deadline:  # noqa: ASYNC110  (the server's requests end, not ours)
            await asyncio.sleep(LEFT_EVERY_S)

    @property
    def subscribed(self) -> bool:
        """Whether the hub hears Redis."""
        return self._running and self.subscriptions.broadcast.confirmed.is_set()

    def _note(self, user: Id, ending: Ending) -> None:
        match ending:
            case Ending.TOO_SLOW:
                self.counters.cut_too_slow += 1
            case Ending.STALLED:
                self.counters.cut_stalled += 1
            case Ending.TOKEN_EXPIRED:
                self.counters.tokens_expired += 1
            case Ending.WITHDRAWN:
                self.counters.rights_withdrawn += 1
            case Ending.TOPICS_WITHDRAWN:
                self.counters.topics_withdrawn += 1
            case Ending.TOPICS_UNCONFIRMED:
                self.counters.topics_unconfirmed += 1
            case Ending.FAILED:
                self.counters.streams_failed += 1
        if ending in (Ending.TOO_SLOW, Ending.STALLED, Ending.TOPICS_UNCONFIRMED):
            logger.warning("bridge.gateway.client_cut reason=%s user_id=%s", ending, user)
        else:
            logger.debug("bridge.gateway.stream_ended reason=%s user_id=%s", ending, user)
