"""``Heartbeat``: tells the store that this worker lives, and whether its consuming loop still turns.

The loop only notes in memory that it turned; a thread writes it down. So a Redis that is away holds up no
message, and a loop that stands still is reported by a process that lives.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bridge.model.errors import BrokerError, StoreError
from bridge.model.plain_text import plain_logger
from bridge.ports import QueueNames, WorkerReports, WrongKey
from bridge.runtime.identity import process_name
from bridge.runtime.reports import WorkerReport
from bridge.runtime.supervision import OnceAKind, SupervisedThread, supervised

logger = plain_logger(__name__)

BEAT_S = 3.0
"""How often a worker reports."""
TURN_S = 1.0
"""How often the loop notes that it turned, at the least."""
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopState:
    """What the consuming loop saw when it last turned."""

    queues: tuple[str, ...] = ()  # that are consumed
    processes: int = 0  # processes of the pool
    refused: Mapping[str, str] = field(default_factory=dict)  # queues that the broker does not let be consumed, and why
    blocked: bool = False  # whether the broker takes no messages, by its alarm


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedWork:
    """What a worker has taken."""

    consumed: int  # messages since it started
    in_hand: int  # messages that are not done
    running: int  # of these, those that the pool runs
    oldest_s: float  # since the oldest running message of the bridge was started; 0 if there is none
    forbidden: str = ""  # what Redis or the broker refuses it for good, in a sentence; empty if nothing


class Heartbeat:
    """Reports until it is stopped, and then says good-bye. One a worker.

    ``work`` tells what the worker has taken, ``wrong_keys`` what strangers wrote under names of ours; both are asked on
    the heartbeat's own thread.
    """

    def __init__(
        self,
        workers: WorkerReports,
        names: QueueNames,
        work: Callable[[], ClaimedWork],
        *,
        wrong_keys: Callable[[], Iterable[WrongKey]],
        node: str,
        pool: str,
        catalog: str,
        release: str,
    ) -> None:
        now = time.monotonic()
        self._workers = workers
        self._wrong_keys = wrong_keys
        self._told: set[str] = set()
        self._node = node
        self._pool = pool
        self._catalog = catalog
        self._names = names
        self._noted: tuple[str, ...] = ()
        self._release = release
        self._started = datetime.now(UTC).isoformat()
        self._consumed = 0
        self._consumed_at = now
        self._work = work
        self._turn, self._turned_at = LoopState(), now
        self._stopping = self._swept = False
        self._news = threading.Event()
        self._thread = SupervisedThread(self._run, name="bridge-heartbeat")

    def start(self) -> None:
        """Start reporting on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reporting, and say good-bye if Redis can be reached. Idempotent."""
        self._stopping = True
        self._news.set()
        self._thread.stop(STOP_TIMEOUT_S)

    def turn(self, seen: LoopState) -> None:
        """Note that the consuming loop turns, and what it sees. Called in that loop; only notes it in memory."""
        is_news = (seen.queues, seen.refused, seen.blocked) != (
            self._turn.queues,
            self._turn.refused,
            self._turn.blocked,
        )
        self._turn, self._turned_at = seen, time.monotonic()
        if is_news:
            self._news.set()

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the worker consumed when its loop last turned."""
        return self._turn.queues

    def report(self) -> WorkerReport:
        """The present state."""
        now, turn, work = time.monotonic(), self._turn, self._work()
        if work.consumed != self._consumed:
            self._consumed, self._consumed_at = work.consumed, now
        return WorkerReport(
            host=socket.gethostname(),
            pid=os.getpid(),
            node=self._node,
            pool=self._pool,
            processes=turn.processes,
            queues=turn.queues,
            started=self._started,
            consumed=work.consumed,
            in_hand=work.in_hand,
            running=work.running,
            consumed_age_s=round(now - self._consumed_at, 3),
            loop_age_s=round(now - self._turned_at, 3),
            oldest_task_s=round(work.oldest_s, 3),
            forbidden=work.forbidden,
            refused=dict(turn.refused),
            blocked=turn.blocked,
            catalog=self._catalog,
            release=self._release,
            threads=supervised(),
        )

    def _note_queues(self) -> None:
        """Tell the accounting which queues this worker consumes, whichever registry has them later."""
        queues = self._turn.queues
        if queues and queues != self._noted:
            self._names.note(queues)
            self._noted = queues

    def _tell_of_wrong_keys(self) -> None:
        """Name each once, for as long as it is there: what Redis answers does not name any."""
        with suppress(StoreError, BrokerError):  # of which is told already
            wrong = {key.name: key.sentence for key in self._wrong_keys()}
            for name in wrong.keys() - self._told:
                logger.error("bridge.store.wrong_key: %s", wrong[name])
            self._told = set(wrong)

    def _run(self) -> None:
        name, trouble = process_name(), OnceAKind(logger)
        while not self._stopping:
            self._news.clear()
            self._tell_of_wrong_keys()
            try:
                self._workers.beat(name, self.report(), sweep=not self._swept)
                self._swept = True
                trouble.over()
                self._note_queues()
            except StoreError as error:
                trouble.log(error, "bridge.heartbeat.unheard")
            if not self._stopping:
                self._news.wait(BEAT_S)
        try:
            self._workers.leave(name)
        except StoreError as error:
            logger.warning("bridge.heartbeat.unheard: %s", error)
