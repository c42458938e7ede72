"""``Emitter``: takes domain events from business code in microseconds, and sees them onto the broker.

``emit`` takes the values of the event, so that nothing can change under it, puts them into a bounded buffer and
returns. Writing them as JSON is left to the thread that sends what is in the buffer (see ``BackgroundSender``), but
for events of which only writing shows whether they can be written. At low load an event leaves at once and alone,
under load batches grow by themselves, because more arrive while one is sent.
"""

import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bridge.catalogs import load_registry
from bridge.catalogs.loading import BUILT_IN
from bridge.model.errors import DeliveryError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.producer.background_sender import BackgroundSender
from bridge.producer.batching import Entry, Unwritten, Written
from bridge.producer.diversion import Diversion, diversion
from bridge.producer.lifetime import after_fork_in_child, close_with_process, keep_inherited, note_closed, note_made
from bridge.producer.routes import routes_of, write, write_small
from bridge.producer.unaccepted import Unaccepted
from bridge.runtime.forks import ForkMark
from bridge.runtime.tracing import active_tracer
from bridge.settings import ProducerSettings, load_settings

if TYPE_CHECKING:
    from bridge.ports import OutboxDatabase
    from bridge.producer.outbox.drain import Drain
    from bridge.producer.outbox.row import OutboxRow

logger = plain_logger(__name__)

STRICT_TIMEOUT_S = 5.0
"""How long a strict ``emit`` waits for the broker."""
COUNTER_NAMES = (
    "accepted",
    "delivered",
    "unmapped",
    "refused",
    "overflowed",
    "broker_errors",
    "spool_full",
    "spooled",
    "abandoned",
)


class Emitter:
    """Hands domain events to the bridge; safe with threads, asyncio and forks.

    Args:
        settings: default: read from the environment.
        registry: default: the one that the settings name.
        strict: let ``emit`` wait for the broker and raise, instead of logging and counting.

    Raises:
        SettingsError: no settings were given and the environment's are wrong.
        RegistryError: no registry was given and the settings' cannot be loaded.
    """

    def __init__(
        self, settings: ProducerSettings | None = None, registry: Registry | None = None, *, strict: bool = False
    ) -> None:
        self._settings = settings or load_settings(for_=ProducerSettings)
        self._registry = registry or load_registry(self._settings.registry)
        self._strict = strict
        self._routes = routes_of(self._registry, self._settings)
        self._unaccepted = Unaccepted(self._settings.registry or BUILT_IN, strict=strict)
        self._pid = os.getpid()
        # True when an event was accepted in this process: then it is watched over, and no fork lies between.
        self._watched = ForkMark()
        self._flag = self._watched.flag
        self._background = self._new_background()
        self._put: Callable[[Entry], bool] = self._background.buffer.put
        note_made(self)

    # Front

    def emit(self, event: Any) -> bool:
        """Accept one domain event; returns in microseconds, whatever the broker does.

        Its values are taken now: whoever changes it afterwards changes nothing that is sent. Accepted again, with the
        same ``event_id``, it is published once, for as long as that is remembered (``BRIDGE_SEEN_TTL_S``).

        Args:
            event: an instance of a class that has a mapping.

        Returns:
            True if the event was accepted: it will end published, skipped or dead-lettered. False if
            its class has no mapping (logged once a class, and counted), or if it was refused (logged and counted).

        Raises:
            EventRefusedError: strict only; the event's class has no mapping, the event cannot be encoded, does not fit
                its class, is too large, or the buffer is full.
            DeliveryError: strict only; the broker did not confirm in ``STRICT_TIMEOUT_S``. The event
                stays in the buffer and may still be delivered.
        """
        entry: Unwritten | Written | None = None
        try:
            route = self._routes.get(type(event))
            if (
                route is not None
                and not self._strict
                and self._flag[0]
                and active_tracer() is None  # a span ends on the thread of its caller
            ):
                snapshot = route.snapshot_of(event)
                entry = Unwritten(route, snapshot, route.user_of(event)) if snapshot else write_small(route, event)
        except Exception:  # noqa: S110  (emit_many says why it is refused)
            pass
        if entry is not None and self._put(entry):
            return True
        return self.emit_many((event,)) == 1

    def emit_many(self, events: Iterable[Any]) -> int:
        """Accept events in order; as ``emit`` for each, but they leave together.

        Args:
            events: any number; looked through once, before the first is accepted.

        Returns:
            How many were accepted.

        Raises:
            EventRefusedError: strict only; one has no mapping or cannot be encoded (then none is accepted), or some
                found no room.
            DeliveryError: strict only; as for ``emit``.
        """
        self._notice_fork()
        prepared = [accepted for event in events if (accepted := self._prepare(event)) is not None]
        count = self._enqueue(prepared) if prepared else 0
        if count and self._strict and not self._background.wait_until_delivered(STRICT_TIMEOUT_S, or_trouble=True):
            raise DeliveryError(
                f"The broker did not confirm within {STRICT_TIMEOUT_S:g} s. The events wait in the buffer and may "
                "still be delivered; emitting the same event again is harmless."
            )
        return count

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until the broker has every event that was accepted, or committed to an outbox, before this call.

        Args:
            timeout_s: seconds to wait at most.

        Returns:
            Whether it has. False after ``timeout_s``; the events stay in the buffer.
        """
        self._notice_fork()
        until = time.monotonic() + timeout_s
        delivered = self._background.wait_until_delivered(timeout_s)
        return self._background.wait_until_drained(max(0.0, until - time.monotonic())) and delivered

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, then stop the background threads. Idempotent; runs by itself when the process exits.

        What the broker has not got by then waits in the spool, if there is one, for the next process;
        otherwise it is abandoned: counted, and logged as an error.

        Args:
            timeout_s: seconds to wait; default: the setting ``emit_exit_flush_s``.

        Returns:
            Whether nothing is abandoned.
        """
        self._notice_fork()
        abandoned, spooled = self._background.close(
            self._settings.emit_exit_flush_s if timeout_s is None else timeout_s
        )
        note_closed(self)  # not before: what interrupts the wait leaves the rest to the end of the process
        if spooled:
            logger.warning("bridge.emitter.spooled events=%d: the next process sends them.", spooled)
        if abandoned:
            logger.error("bridge.emitter.abandoned events=%d: the process ends before the broker had them.", abandoned)
        return not abandoned

    @property
    def counts(self) -> dict[str, int]:
        """How many events of this process were accepted, delivered, refused, … so far: by name."""
        self._notice_fork()
        with self._background.progress.changed:
            sent = self._background.counts
            return {name: sent.get(name, 0) + self._unaccepted.counts[name] for name in COUNTER_NAMES}

    @property
    def outbox_url(self) -> str:
        """The database whose outbox is drained instead of the one that is written to; empty: that one."""
        return self._settings.outbox_url

    @property
    def trouble(self) -> str:
        """Why the broker did not take what it was sent last; empty if it did."""
        return self._background.progress.trouble

    # For the bridge itself: the outbox, whose events are written in the application's own transaction

    def drain(
        self, key: Hashable, open_database: "Callable[[], OutboxDatabase]", *, lives_with: object | None = None
    ) -> "Drain":
        """What carries the events of an outbox to the broker, by a thread of its own from the first call on.

        Args:
            key: the same for the same database.
            open_database: makes what the drain's thread uses alone; called once a process, and opens no connection.
            lives_with: what opens the database, such as an engine: when it is not used any more and nothing is left to
                send, the drain ends. None: it ends with the emitter.
        """
        self._notice_fork()
        self._watch()
        return self._background.drain(key, open_database, lives_with)

    def row_for(self, event: Any, drain: "Drain") -> "OutboxRow | None":
        """The row of a domain event, for whoever inserts it; None where ``emit`` would return False, or it is full.

        Raises:
            EventRefusedError: strict only; as of ``emit``.
        """
        self._notice_fork()
        entry = self._prepare(event)
        if entry is None:
            return None
        if not drain.has_room():
            self._unaccepted.overflowed(
                1, f"the outbox holds {self._settings.outbox_max} events (BRIDGE_OUTBOX_MAX). Check the broker."
            )
            return None
        return drain.row(entry.accepted())

    def show(self, event: Any, test: Diversion, stands: Callable[[], bool]) -> bool:
        """Have a test see the event of a transaction; whether it is accepted. See ``Diversion.written``.

        Raises:
            EventRefusedError: strict only; as of ``emit``.
        """
        entry = self._prepare(event)
        if entry is not None:
            test.written(entry, stands)
        return entry is not None

    def carry(self, entries: list[Written]) -> None:
        """Send what ``show`` showed; its transaction was not rolled back."""
        if entries:
            self._enqueue(entries)

    @contextmanager
    def rewired(self) -> Iterator[None]:
        """Meanwhile send where ``bridge.wiring`` leads now, with a buffer and threads of that time; nothing is spooled.

        What waits in the buffer that was there waits on. See ``bridge.testing``.
        """
        kept = self._swap(self._new_background(replace(self._settings, spool_dir="")))
        try:
            yield
        finally:
            self._swap(kept).close(0)

    def reconnect(self) -> None:
        """Go on where ``bridge.wiring`` leads now; what was not sent is abandoned."""
        self._swap(self._new_background()).close(0)

    def _swap(self, background: BackgroundSender) -> BackgroundSender:
        ended, self._background = self._background, background
        self.divert(diversion() is not None)
        return ended

    @property
    def registry(self) -> Registry:
        """What it accepts."""
        return self._registry

    # Accepting, on the caller's thread

    def _prepare(self, event: Any) -> Written | None:
        """Write an event, so that nothing can change under it; None if it is unmapped or refused."""
        try:
            route = self._routes.get(type(event))
        except Exception as error:  # of the class's own __hash__ or __eq__
            self._unaccepted.refused(event, error)
            return None
        if route is None:
            self._note_unmapped(event)
            return None
        try:
            return write(route, event, self._settings.event_max_bytes)
        except Exception as error:  # encoding runs foreign code, and no caller may suffer from it
            self._unaccepted.refused(event, error)
            return None

    def _enqueue(self, prepared: list[Written]) -> int:
        """Put events into the buffer as far as there is room; returns how many."""
        if (test := diversion()) is not None:
            for entry in prepared:
                test.written(entry)
            return len(prepared)
        self._watch()
        count = self._background.buffer.put_many(prepared)
        if count < len(prepared):
            self._unaccepted.overflowed(len(prepared) - count, self._why_full())
        return count

    def _note_unmapped(self, event: Any) -> None:
        self._unaccepted.unmapped(event)
        if diversion() is None:
            self._watch()
            self._background.start_reporting()

    def _watch(self) -> None:
        """Have this process close the emitter when it ends."""
        if not self._watched and diversion() is None:
            self._watched.set()
            close_with_process(self)

    def _why_full(self) -> str:
        if self._background.buffer.closing:
            return "the emitter is closed"
        return (
            f"the buffer holds {self._settings.emit_buffer_max} events (BRIDGE_EMIT_BUFFER_MAX) "
            "that the broker has not taken. Check the broker."
        )

    def _new_background(self, settings: ProducerSettings | None = None) -> BackgroundSender:
        return BackgroundSender(settings or self._settings, self._registry, self._unaccepted)

    def _notice_fork(self) -> None:
        """Also where a server forks without Python's hooks."""
        if self._pid != os.getpid():
            after_fork_in_child()

    def divert(self, diverted: bool) -> None:
        """Have each event pass where a test takes it, or no longer; see ``bridge.producer.diversion``."""
        self._put = _no_room if diverted else self._background.buffer.put

    def forget_parent(self) -> None:
        """In a forked child: the parent's threads, connection and events are the parent's."""
        if self._pid == os.getpid():
            return
        self._background.abandon()
        keep_inherited(self._background)
        self._pid = os.getpid()
        self._unaccepted.forget_parent()
        self._watched.clear()
        self._background = self._new_background()
        self._put = self._background.buffer.put


def _no_room(_: Entry) -> bool:
    return False
