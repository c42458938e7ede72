"""``Drain``: the thread of this process that carries events from one database's outbox to the broker."""

import logging
import threading
import time
import weakref
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec.structs import replace

from bridge.messages import TaskMessage
from bridge.model.errors import OutboxError
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Registry
from bridge.ports import OutboxDatabase, Queue
from bridge.producer.batching import Accepted, BatchLimits, batch
from bridge.producer.outbox.row import OutboxRow
from bridge.producer.outbox.table import Claim, OutboxFigures, OutboxTable
from bridge.producer.outbox.trouble import BusyError
from bridge.producer.row_validation import RowValidator
from bridge.producer.sender import Progress, Sender
from bridge.runtime.reports import OutboxReport
from bridge.runtime.supervision import Backoff, SupervisedThread
from bridge.settings import ProducerSettings

if TYPE_CHECKING:
    from bridge.producer.outbox.drains import Drains

logger = plain_logger(__name__)

ROUND_MAX = 500
"""Rows that are claimed, sent and removed together at most."""
BUSY_WAITS_S = (0.005, 0.01, 0.02, 0.05, 0.1)
"""How long another process that sends from the table is left alone, the longer the longer it does, whatever is
committed meanwhile; then the poll's, which a commit cuts short."""
LOOK_S = 2.0
"""How often the rows are counted, …"""
LOOK_SHARE = 0.01
"""… if that takes no more than such a part of the time: a table that holds a million rows is counted less often."""
LIFE_S = 1.0
"""How often it is seen whether what the drain lives with is still in use."""
UNSURE_MARGIN_S = 60.0
"""So much before an event's id is forgotten it is no longer sent again on the ground that it is known."""


class Drain:
    """Runs from ``start`` until ``stop``; woken by ``wake`` from any thread, and by itself every so often.

    With nothing to send it may come to rest, see ``Drains``: it gives back its threads and connections, and runs again
    when it is woken. What it lives with is kept while something is to be sent, and otherwise held weakly.

    Args:
        database: used by the drain's thread alone, and closed with it.
        queue: of the drain's own.
        owner: its name, which no other drain of any process has.
        progress: of this process: says when it closes, and is told of the broker's trouble.
        drains: of this process.
        lives_with: what makes the connections of ``database``; when it is not used any more, the drain ends. None: it
            runs until it is stopped.

    Attributes:
        asked_for: whether somebody wants it to run, and not only what is committed to be sent.
        used_at: when it was last woken, or asked for a row; monotonic.
    """

    def __init__(
        self,
        database: OutboxDatabase,
        queue: Queue,
        *,
        settings: ProducerSettings,
        registry: Registry,
        owner: str,
        progress: Progress,
        drains: "Drains",
        lives_with: object | None = None,
    ) -> None:
        validator, remembered_s = RowValidator(registry), settings.seen_life_s - UNSURE_MARGIN_S
        self._table = OutboxTable(database, validator, owner=owner, remembered_s=remembered_s)
        self._database = database
        self._queue = queue
        self._most = settings.outbox_max
        self._poll_s = settings.outbox_poll_s
        self._limits = BatchLimits(events=settings.emit_batch_max, size_bytes=settings.message_max_bytes)
        self._sender = Sender(queue, self._limits, progress, lambda: self._figures.waiting)
        self._woken = threading.Event()
        self._passed = threading.Condition()
        self._begun = self._emptied = 0  # the number of the present pass, and of the last that left nothing to send
        self._backoff = Backoff()
        self._busy = 0
        self._figures = OutboxFigures()
        self._look_at = 0.0
        self._written = 0
        self._sent = 0
        self._trouble = ""
        self._drains = drains
        self._life = None if lives_with is None else weakref.ref(lives_with)
        self._kept: object | None = None
        self._listens = settings.outbox_notify
        self._running = False
        self._stalled = False  # for want of a thread
        self.asked_for = False
        self.used_at = 0.0
        self.threads = self._new_threads()

    # From any thread

    def start(self) -> None:
        """Start the threads, unless they live.

        Raises:
            RuntimeError: the system has no thread to give.
        """
        with self._passed:
            if not self._running:
                self.threads = self._new_threads()  # the former may be at their last step
            self._running = True  # before there is one, for a signal handler that comes in between
            self._keep()
            try:
                for thread in self.threads:
                    thread.start()
            except RuntimeError as error:
                self._note_unstarted(error)
                raise
            self._stalled = False

    def wake(self) -> None:
        """Rows were committed. Never raises: whoever committed them would take it for a failure of the commit."""
        self._keep()
        self.look_up()
        if not self._running:
            with suppress(RuntimeError):  # it is logged, and the next commit tries again
                self._drains.begin(self)

    def look_up(self) -> None:
        """End the present pause, if it is one."""
        if not self._woken.is_set():
            self._woken.set()

    @property
    def thread(self) -> SupervisedThread:
        """The one that sends."""
        return self.threads[0]

    @property
    def runs(self) -> bool:
        """Whether it has, or is to have, its threads and its connections."""
        return self._running

    @property
    def rests(self) -> bool:
        """Whether it has none, and need not."""
        return not (self._running or self._woken.is_set())

    @property
    def is_idle(self) -> bool:
        """Whether its last pass left nothing to send, and nothing was committed since."""
        return self._emptied == self._begun and not self._woken.is_set()

    @property
    def is_left(self) -> bool:
        """Whether what it lives with is no more."""
        return self._life is not None and self._life() is None

    def has_room(self) -> bool:
        """Whether the table may take one more, by what was counted last and has been written since by this process."""
        return self._figures.waiting + self._written < self._most

    def row(self, event: Accepted) -> OutboxRow:
        """The row of an event that is about to be inserted; it counts as written until the next look."""
        self._written += 1
        self.used_at = time.monotonic()
        return OutboxRow.of(event)

    def wait_until_empty(self, timeout_s: float) -> bool:
        """Wait until a pass that began after this call leaves nothing to send, but not for a database in trouble.

        Returns:
            Whether one did in time. What is left is safe: any process sends it.
        """
        with self._passed:
            if self.rests:
                return True
            target = self._begun + 1
            self._woken.set()
            self._passed.wait_for(lambda: self._emptied >= target or self._is_stuck(), timeout_s)
            return self._emptied >= target

    def stop(self, timeout_s: float) -> bool:
        """Have the threads end, each after what it is at; whether they have ended in time."""
        for thread in self.threads:
            thread.stopping.set()
        self._woken.set()
        still_running = [thread for thread in self.threads if not thread.join(timeout_s)]
        if not still_running:
            self._queue.close()
        return not still_running

    def report(self) -> OutboxReport:
        """What there is to say of the table now."""
        figures = self._figures
        return OutboxReport(
            database=self._database.name,
            waiting=figures.waiting,
            oldest_s=round(figures.oldest_s, 3),
            set_aside=figures.set_aside,
            foreign=figures.foreign,
            sent=self._sent,
            full=not self.has_room(),
            trouble=self._trouble,
        )

    def _is_stuck(self) -> bool:
        return bool(self._trouble) or self._stalled or (self._running and not self.thread.is_alive())

    def _note_unstarted(self, error: RuntimeError) -> None:
        """The system has no thread to give, or the interpreter is ending."""
        self._running = self.thread.is_alive()
        if not self._stalled:
            logger.error("bridge.outbox.stalled database=%s: %s", self._database.name, error)
        self._stalled = not self._running

    def _keep(self) -> None:
        """There may be something to send: until it is, keep what makes the connections."""
        self.used_at = time.monotonic()
        self._kept = self._life() if self._life is not None else None

    def _new_threads(self) -> tuple[SupervisedThread, ...]:
        sending = SupervisedThread(self._run, name="bridge-outbox")
        listening = (SupervisedThread(self._listen, name="bridge-outbox-listener"),) if self._listens else ()
        return (sending, *listening)

    # The thread that sends

    def _run(self) -> None:
        try:
            while True:
                self._woken.clear()
                if self.thread.stopping.is_set():
                    break
                self._begun += 1
                try:
                    pause_s = self._pass()
                    self._look_if_due()
                except OutboxError as error:
                    self.thread.stopping.wait(self._note_trouble(error))
                    may_rest = self.is_left
                else:
                    may_rest = self.is_idle and self._drains.may_rest(self)
                    self._wait(0.0 if may_rest else pause_s)
                if may_rest and self._comes_to_rest():
                    self._drains.note_rest()
                    return
        except BaseException:
            self._table.close()
            raise
        self._table.close()

    def _wait(self, pause_s: float) -> None:
        """Until it is woken, or what it lives with is not used any more."""
        until = time.monotonic() + pause_s
        while not self._woken.is_set() and (left_s := until - time.monotonic()) > 0 and not self.is_left:
            self._woken.wait(min(left_s, LIFE_S))

    def _comes_to_rest(self) -> bool:
        """Give back what it has, unless it is woken meanwhile; whether it does."""
        self._table.close()
        self._queue.close()
        self._figures, self._written = OutboxFigures(), 0
        with self._passed:
            self._running = False  # whoever wakes it looks at this afterwards, and we look whether somebody did
            self._running = self._woken.is_set()
            if self._running:
                return False
            for thread in self.threads:
                thread.stopping.set()
        if self.is_left:
            level = logging.WARNING if self.asked_for else logging.INFO
            text = "bridge.outbox.ended database=%s: its engine is gone; what others commit there waits for others."
            logger.log(level, text, self._database.name)
        return True

    def _pass(self) -> float:
        """Send a round; returns the seconds to wait before the next, unless rows are committed.

        Raises:
            OutboxError: the database does not let us.
        """
        try:
            claim = self._table.claim(ROUND_MAX)
        except BusyError:
            self._note_usable()  # it answers, if for another process
            self._busy += 1
            self.thread.stopping.wait(BUSY_WAITS_S[min(self._busy, len(BUSY_WAITS_S)) - 1])
            return 0.0 if self._busy < len(BUSY_WAITS_S) else self._poll_s
        self._busy = 0
        self._note_usable()
        if claim.set_aside:
            logger.error(
                "bridge.outbox.set_aside rows=%d database=%s: their column state says why; see docs/outbox.md.",
                claim.set_aside,
                self._database.name,
            )
        if claim.events:
            wait_s = self._sender.try_messages(self._messages(claim))
            if wait_s is not None:
                self._table.release(claim, undone=self._sender.undone)
                self.thread.stopping.wait(wait_s)
                return 0.0
            self._table.remove(claim)
            self._sent += len(claim.events)
        if claim.more:
            return 0.0
        with self._passed:
            self._emptied = self._begun
            self._passed.notify_all()
            if not self._woken.is_set():
                self._kept = None
        return self._poll_s

    def _messages(self, claim: Claim) -> list[TaskMessage]:
        """A round's messages, which have the same ids whenever and by whichever process they are sent."""
        return [replace(message, message_id=_id_of(message.event_ids)) for message in batch(claim.events, self._limits)]

    def _look_if_due(self) -> None:
        begun = time.monotonic()
        if begun >= self._look_at:
            self._figures, self._written = self._table.look(self._most), 0
            ended = time.monotonic()
            self._look_at = ended + max(LOOK_S, (ended - begun) / LOOK_SHARE)

    def _note_trouble(self, error: OutboxError) -> float:
        """Say it, once a kind; returns the seconds to wait."""
        if str(error) != self._trouble:
            logger.error("bridge.outbox.unusable %s", error)
        with self._passed:
            self._trouble = str(error)
            self._passed.notify_all()
        return self._backoff.next_s()

    def _note_usable(self) -> None:
        if self._trouble:
            logger.info("bridge.outbox.returned database=%s", self._database.name)
            self._trouble, self._backoff = "", Backoff()

    # The thread that listens

    def _listen(self) -> None:
        for _ in self._database.notices(self.threads[-1].stopping):
            self.look_up()


def _id_of(event_ids: bytes) -> str:
    """A message's id, made of what is in it."""
    return str(UUID(bytes=blake2b(event_ids, digest_size=16).digest(), version=4))
