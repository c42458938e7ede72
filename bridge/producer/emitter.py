"""``Emitter``: takes domain events from business code in microseconds, and sees them onto the broker.

``emit`` encodes the event, so that nothing can change under it, puts it into a bounded buffer and
returns. One background thread sends what is in the buffer: at low load an event leaves at once and
alone, under load batches grow by themselves, because more events arrive while one batch is sent.
"""

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice
from typing import Any

from bridge.broker import TaskMessage, TaskSender
from bridge.errors import DeliveryError, EventRefusedError, PayloadError
from bridge.pipeline import EventCodec
from bridge.producer.backoff import Backoff
from bridge.producer.batching import Accepted, BatchLimits, batch
from bridge.registry import BUILT_IN, Registry, load_registry
from bridge.settings import Settings, load_settings

logger = logging.getLogger(__name__)

STRICT_TIMEOUT_S = 5.0
"""How long a strict ``emit`` waits for the broker."""
JOIN_TIMEOUT_S = 1.0
"""How long ``close`` waits for a write that is under way."""
ROUND_MAX = 5_000
"""Events that the background thread sends in one write at the most."""
WARN_INTERVAL_S = 10.0
"""A full buffer is logged at most this often; each refused event is counted."""

FINALIZER_PRIORITY = 100
"""Before the finalizers that close what we need; multiprocessing's own go down from here."""

COUNTER_NAMES = ("accepted", "delivered", "unmapped", "refused", "overflowed", "broker_errors", "abandoned")


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
        self, settings: Settings | None = None, registry: Registry | None = None, *, strict: bool = False
    ) -> None:
        self._settings = settings or load_settings()
        self._registry = registry or load_registry(self._settings.registry or BUILT_IN)
        self._strict = strict
        self._limits = BatchLimits(events=self._settings.emit_batch_max, size_bytes=self._settings.message_max_bytes)
        self._routes = {
            row.domain_event_class: (
                EventCodec(row.domain_event_class),
                self._registry.task_of(row),
                self._registry.queue_of(row),
            )
            for row in self._registry.mappings
        }
        self._reset()
        _emitters.add(self)

    def _reset(self) -> None:
        """The state of a process that has emitted nothing yet."""
        self._changed = threading.Condition()
        self._buffer: deque[Accepted] = deque()
        self._counts: Counter[str] = Counter()
        self._done = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._sender = TaskSender(self._settings, self._registry)
        self._last_warning = -WARN_INTERVAL_S

    # Front

    def emit(self, event: Any) -> bool:
        """Accept one domain event; returns in microseconds, whatever the broker does.

        Returns:
            True if the event was accepted: it will end published, skipped or dead-lettered. False if
            its class has no mapping (silently ignored), or if it was refused (logged and counted).

        Raises:
            EventRefusedError: strict only; the event cannot be encoded, is too large, or the buffer is full.
            DeliveryError: strict only; the broker did not confirm in ``STRICT_TIMEOUT_S``. The event
                stays in the buffer and may still be delivered.
        """
        return self.emit_many((event,)) == 1

    def emit_many(self, events: Iterable[Any]) -> int:
        """Accept events in order; as ``emit`` for each, but they leave together.

        Returns:
            How many were accepted.

        Raises:
            EventRefusedError: strict only; one cannot be encoded (then none is accepted), or some found
                no room.
            DeliveryError: strict only; as for ``emit``.
        """
        prepared = [accepted for event in events if (accepted := self._prepare(event)) is not None]
        count = self._enqueue(prepared) if prepared else 0
        if count and self._strict:
            self._confirm_or_raise()
        return count

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until the broker has every event that was accepted before this call.

        Returns:
            Whether it has. False after ``timeout_s`` seconds; the events stay in the buffer.
        """
        with self._changed:
            target = self._counts["accepted"]
            return self._changed.wait_for(lambda: self._done >= target, timeout_s)

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush, then stop the background thread. Idempotent; runs by itself when the process exits.

        What the broker has not got by then is abandoned: counted, and logged as an error.

        Args:
            timeout_s: seconds to wait; default: the setting ``emit_exit_flush_s``.

        Returns:
            Whether everything was delivered.
        """
        if self._thread is not None:
            self.flush(self._settings.emit_exit_flush_s if timeout_s is None else timeout_s)
        elif self._buffer:
            self._send_here()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(JOIN_TIMEOUT_S)
        with self._changed:
            abandoned = self._counts["accepted"] - self._done
            self._done += abandoned
            self._counts["abandoned"] += abandoned
            self._buffer.clear()
        if abandoned:
            logger.error("bridge.emitter.abandoned events=%d: the process ends before the broker had them.", abandoned)
        return not abandoned

    @property
    def counts(self) -> dict[str, int]:
        """What happened to the events of this process so far; see ``COUNTER_NAMES``."""
        with self._changed:
            return {name: self._counts[name] for name in COUNTER_NAMES}

    # Accepting, on the caller's thread

    def _prepare(self, event: Any) -> Accepted | None:
        """Encode an event, so that nothing can change under it; None if it is unmapped or refused."""
        route = self._routes.get(type(event))
        if route is None:
            self._count("unmapped")
            return None
        codec, task, queue = route
        try:
            envelope = codec.encode(event, source=self._settings.source)
            if len(envelope) > self._settings.event_max_bytes:
                raise PayloadError(
                    f"Its envelope has {len(envelope)} bytes; at most {self._settings.event_max_bytes} are "
                    "allowed (BRIDGE_EVENT_MAX_BYTES). Send a reference instead of the content."
                )
        except Exception as error:  # encoding runs foreign code, and no caller may suffer from it
            self._refuse(event, error)
            return None
        return Accepted(task, queue, envelope)

    def _enqueue(self, prepared: list[Accepted]) -> int:
        """Put events into the buffer as far as there is room; returns how many."""
        with self._changed:
            room = 0 if self._closing else max(0, self._settings.emit_buffer_max - len(self._buffer))
            fitting = prepared[:room]
            self._buffer.extend(fitting)
            self._counts["accepted"] += len(fitting)
            self._changed.notify_all()
        if len(fitting) < len(prepared):
            self._overflow(len(prepared) - len(fitting))
        if fitting and (self._thread is None or not self._thread.is_alive()):
            self._start()
        return len(fitting)

    def _refuse(self, event: Any, error: Exception) -> None:
        self._count("refused")
        reason = str(error) if isinstance(error, PayloadError) else f"it could not be read ({type(error).__name__})."
        text = f"{type(event).__name__} {getattr(event, 'event_id', 'without id')} was not accepted: {reason}"
        if self._strict:
            raise EventRefusedError(text) from error
        logger.error("bridge.event.refused %s", text)

    def _overflow(self, number: int) -> None:
        with self._changed:
            self._counts["overflowed"] += number
            total = self._counts["overflowed"]
        text = (
            "the emitter is closed"
            if self._closing
            else f"the buffer holds {self._settings.emit_buffer_max} events (BRIDGE_EMIT_BUFFER_MAX) "
            "that the broker has not taken. Check the broker."
        )
        if self._strict:
            raise EventRefusedError(f"{number} events were not accepted: {text}")
        now = time.monotonic()
        if now - self._last_warning >= WARN_INTERVAL_S:
            self._last_warning = now
            logger.error("bridge.event.overflowed total=%d: %s", total, text)

    def _confirm_or_raise(self) -> None:
        with self._changed:
            target = self._counts["accepted"]
            errors_before = self._counts["broker_errors"]
            self._changed.wait_for(
                lambda: self._done >= target or self._counts["broker_errors"] > errors_before, STRICT_TIMEOUT_S
            )
            if self._done >= target:
                return
        raise DeliveryError(
            f"The broker did not confirm within {STRICT_TIMEOUT_S:g} s. The events wait in the buffer and may "
            "still be delivered; emitting the same event again is harmless."
        )

    def _count(self, name: str) -> None:
        with self._changed:
            self._counts[name] += 1

    # Sending, on the background thread

    def _start(self) -> None:
        with self._changed:
            if self._closing or (self._thread is not None and self._thread.is_alive()):
                return
            thread = threading.Thread(target=self._run, name="bridge-emitter", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # out of threads, or the interpreter is ending
                self._counts["broker_errors"] += 1
                logger.error("bridge.emitter.stalled waiting=%d: %s", len(self._buffer), error)
                return
            self._thread = thread
        _close_with_process()

    def _send_here(self) -> None:
        """Send once, on the caller's thread: there is no other, and the process is ending."""
        round_ = list(self._buffer)
        try:
            self._sender.send(batch(round_, self._limits))
        except Exception as error:  # whatever it is, what is left is counted and logged as abandoned
            logger.warning("bridge.broker.away waiting=%d: %s", len(round_), error)
            return
        with self._changed:
            self._buffer.clear()
            self._done += len(round_)
            self._counts["delivered"] += len(round_)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._buffer or self._closing)
                if self._closing:
                    break
                # They stay in the buffer until they are delivered, so that its bound covers them.
                round_ = list(islice(self._buffer, ROUND_MAX))
            if not self._deliver(batch(round_, self._limits)):
                break
            with self._changed:
                if not self._buffer:
                    break  # close() has given up on them
                for _ in round_:
                    self._buffer.popleft()
                self._done += len(round_)
                self._counts["delivered"] += len(round_)
                self._changed.notify_all()
        self._sender.close()

    def _deliver(self, messages: list[TaskMessage]) -> bool:
        """Send until the broker has all; False if the emitter closes before that."""
        backoff = Backoff()
        while True:
            try:
                self._sender.send(messages)
            except Exception as error:  # a dead thread would lose everything; trouble of any kind is waited out
                self._note_trouble(error, first=backoff.failures == 0)
            else:
                if backoff.failures:
                    logger.info("bridge.broker.returned after_failures=%d", backoff.failures)
                return True
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, backoff.next_s()):
                    return False

    def _note_trouble(self, error: Exception, *, first: bool) -> None:
        with self._changed:
            self._counts["broker_errors"] += 1
            waiting = len(self._buffer)
            self._changed.notify_all()
        if first:
            logger.warning("bridge.broker.away waiting=%d: %s: %s", waiting, type(error).__name__, error)


_emitters: "weakref.WeakSet[Emitter]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """A child has neither the thread nor a right to the parent's connection and buffered events."""
    for emitter in _emitters:
        emitter._reset()


def _at_exit() -> None:
    for emitter in list(_emitters):
        emitter.close()


def _close_with_process() -> None:
    """Have this process deliver what it accepted when it ends.

    A child of multiprocessing or of a Celery pool ends without atexit: it runs the finalizers of its own
    library, which are forgotten at the fork, and so are registered by the process that needs them.
    """
    for name in ("multiprocessing.util", "billiard.util"):
        module = sys.modules.get(name)
        if module is not None and _finalized.get(name) != os.getpid():
            _finalized[name] = os.getpid()
            module.Finalize(None, _at_exit, exitpriority=FINALIZER_PRIORITY)


_finalized: dict[str, int] = {}


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
