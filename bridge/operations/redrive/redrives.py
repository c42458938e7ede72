"""``Redrives``: begins, predicts, runs, shows and stops redrives."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress

from msgspec.structs import replace

from bridge.model.errors import OperationRefusedError
from bridge.model.log_entry import LogEntry
from bridge.model.redrive import RedriveState, RedriveStatus
from bridge.model.registry import Registry
from bridge.model.registry.identity import identity_of
from bridge.operations.dry_run import Expected, Prediction, Predictor
from bridge.operations.health import consuming_workers
from bridge.operations.letters import Letters, chunks
from bridge.operations.liveness import worker_differences
from bridge.operations.redrive.runner import RedriveRunner, known, take_lease
from bridge.operations.redrive.sending import STEP
from bridge.operations.selection import Selection
from bridge.operations.staleness import Staleness
from bridge.ports import Store
from bridge.runtime.identity import who_am_i
from bridge.runtime.reports import KnownWorker
from bridge.settings import AccountingSettings

MAX_FAILURES_DEFAULT = 0.1
"""Share of failures above which a redrive with a canary stops itself."""
PATIENCE_S = 120.0
"""How long a redrive waits without any outcome before it says that no worker seems to run."""


class Redrives:
    """All redrives of one bridge."""

    def __init__(self, store: Store, settings: AccountingSettings, registry: Registry) -> None:
        self._store = store
        self._settings = settings
        self._registry = registry
        self._letters = Letters(store)

    # Beginning

    def begin(
        self,
        selection: Selection,
        *,
        rate: float = 0,
        canary: int = 0,
        max_failures: float | None = None,
        who: str = "",
    ) -> str:
        """Write a redrive down, to be run by ``run``; its snapshot is taken there.

        Args:
            selection: which letters; letters that are dead-lettered from now on are not meant.
            rate: events a second at most; 0 for no limit.
            canary: letters to send first; the rest follows only when all of these have an outcome and at
                most ``max_failures`` of them failed. 0 for none.
            max_failures: share (0 to 1) of failures above which the redrive stops itself; None means 0.1 with
                a canary, and never without.
            who: begins it; this process's user if empty.

        Returns:
            The id of the redrive.
        """
        redrive_id = secrets.token_hex(6)
        who = who or who_am_i()
        now_ms = self._store.clock.now_ms()
        until_ms = min(selection.until_ms, now_ms)
        if max_failures is None and canary:
            max_failures = MAX_FAILURES_DEFAULT
        status = RedriveStatus(
            redrive_id=redrive_id,
            state=RedriveState.BUILDING,
            selection=replace(selection, until_ms=until_ms).as_dict(),
            who=who,
            created_ms=now_ms,
            rate=rate,
            canary=canary,
            max_failures=max_failures,
        )
        self._store.redrives.job(redrive_id).begin(status)
        self._log("dead.redrive.begin", redrive_id, who, selection, {})
        return redrive_id

    def doubts(self) -> tuple[str, ...]:
        """Why a dry run may not come true: living workers whose code is not that of this process, a sentence each."""
        return worker_differences(identity_of(self._registry), self._living())

    def has_no_worker(self) -> bool:
        """Whether no living worker consumes a queue of the registry, so that what is sent waits there."""
        served = {queue for worker in self._living() for queue in worker.report.queues}
        return served.isdisjoint(self._registry.queues)

    def _living(self) -> list[KnownWorker]:
        return consuming_workers(self._settings, self._store.workers.known())

    def predict(self, selection: Selection) -> Iterator[Prediction]:
        """What a redrive would do with each letter that matches. Runs the extractors; publishes nothing."""
        dead = self._store.dead_letters
        predictor = Predictor(self._store.published, self._settings, self._registry)
        staleness = Staleness(self._store.published, predictor, self._registry)
        newest: dict[str, str] = {}
        if staleness.supersedes:
            for part in chunks(self._letters.ids(selection), STEP):
                staleness.note_newest(list(dead.get_many(part).values()), newest)
        for part in chunks(self._letters.ids(selection), STEP):
            letters = list(dead.get_many(part).values())
            superseded = staleness.superseded(letters, newest)
            for letter, prediction in zip(letters, predictor.predict(letters), strict=True):
                why = superseded.get(letter.letter_id)
                if why is None or prediction.expected not in (Expected.PUBLISHED, Expected.DUPLICATE):
                    yield prediction
                else:
                    yield Prediction(letter_id=letter.letter_id, group=letter.group, expected=Expected.STALE, note=why)

    # Looking

    def status(self, redrive_id: str) -> RedriveStatus | None:
        """How far a redrive is; None if there is none of that id."""
        record = self._store.redrives.job(redrive_id).read()
        return None if record is None else record.status

    def known(self, redrive_id: str) -> RedriveStatus:
        """As ``status``.

        Raises:
            OperationRefusedError: there is none.
        """
        return known(self._store.redrives.job(redrive_id), redrive_id).status

    def newest(self, limit: int = 20) -> list[RedriveStatus]:
        """The newest redrives, newest first, without those that cannot be read."""
        found: list[RedriveStatus] = []
        for redrive_id in self._store.redrives.newest(limit):
            with suppress(OperationRefusedError):  # told to whoever asks for that one
                found += filter(None, [self.status(redrive_id)])
        return found

    def is_being_run(self, redrive_id: str) -> bool:
        """Whether a living process, here or elsewhere, runs a redrive."""
        record = self._store.redrives.job(redrive_id).read()
        return record is not None and record.is_leased

    # Running

    def run(
        self,
        redrive_id: str,
        *,
        on_progress: Callable[[RedriveStatus], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
        resend: bool = False,
        patience_s: float = PATIENCE_S,
        who: str = "",
    ) -> RedriveStatus:
        """Run a redrive until it is done or stands still; to resume is to run it again.

        Args:
            redrive_id: from ``begin``.
            on_progress: called now and then, with how far it is.
            should_stop: asked now and then; true pauses the redrive.
            resend: first take back what was sent and has no outcome: for letters that a broker lost. Those
                that it did not lose are then attempted twice, and published once.
            patience_s: how long to wait without any outcome.
            who: had it run, for the log; this process's user if empty.

        Raises:
            OperationRefusedError: there is no such redrive, it is done, or another process runs it.
            StoreUnavailableError: Redis is away; the redrive can be resumed.
            BrokerError: the broker is away; the redrive can be resumed.
        """
        owner = f"{who_am_i()}:{os.getpid()}:{secrets.token_hex(4)}"
        job = self._store.redrives.job(redrive_id)
        take_lease(job, redrive_id, owner)
        queue = self._store.open_queue(self._registry)
        try:
            run = RedriveRunner(self._store, self._settings, self._registry, queue, redrive_id, owner, patience_s)
            run.prepare(resend=resend)
            state, reason = run.go(on_progress, should_stop)
            job.move_to(state, reason)
        finally:
            queue.close()
            job.renew_lease(owner, 0)
        status = self.known(redrive_id)
        selection = Selection.from_dict(status.selection)
        self._log(f"dead.redrive.{state.value}", redrive_id, who or who_am_i(), selection, status.numbers(), reason)
        on_progress(status)
        return status

    def ask_to_stop(self, redrive_id: str) -> None:
        """Have whatever process runs it pause a redrive."""
        self._store.redrives.job(redrive_id).ask_to_stop()

    def _log(
        self, action: str, redrive_id: str, who: str, selection: Selection, numbers: dict[str, int], reason: str = ""
    ) -> None:
        words = f"redrive {redrive_id}: {selection}"
        self._store.log.append(LogEntry(who=who, action=action, selection=words, numbers=numbers, reason=reason))
