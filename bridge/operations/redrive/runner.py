"""``RedriveRunner``: one process's run of a redrive, from the snapshot to the reason for which it ends."""

import time
from collections.abc import Callable

from bridge.model.errors import OperationRefusedError
from bridge.model.redrive import RedriveRecord, RedriveState, RedriveStatus
from bridge.model.registry import Registry
from bridge.operations.dry_run import Predictor
from bridge.operations.letters import Letters, chunks
from bridge.operations.redrive.sending import STEP, RateLimiter, Sending
from bridge.operations.selection import Selection
from bridge.operations.staleness import Staleness
from bridge.ports import Queue, RedriveJob, Store
from bridge.runtime.command_names import command
from bridge.settings import AccountingSettings

POLL_S = 0.02
LEASE_S = 5.0


def known(job: RedriveJob, redrive_id: str) -> RedriveRecord:
    """What is known of a redrive.

    Raises:
        OperationRefusedError: there is none of that id.
    """
    record = job.read()
    if record is None:
        raise OperationRefusedError(f"There is no redrive {redrive_id}; see {command('dead redrives')}.")
    return record


def take_lease(job: RedriveJob, redrive_id: str, owner: str) -> None:
    """Get the lease; one that is running out is waited for.

    Raises:
        OperationRefusedError: there is no such redrive, it is done, or another process runs it.
    """
    if known(job, redrive_id).status.state is RedriveState.DONE:
        raise OperationRefusedError(f"Redrive {redrive_id} is done; there is nothing left to send.")
    deadline = time.monotonic() + LEASE_S + 1
    while rest_ms := job.renew_lease(owner, LEASE_S):
        if time.monotonic() + rest_ms / 1000 > deadline:
            raise OperationRefusedError(f"Redrive {redrive_id} is being run by {known(job, redrive_id).status.owner}.")
        time.sleep(min(rest_ms / 1000, 0.2))


class RedriveRunner:
    """Takes the snapshot, sends and collects, as the owner of the lease.

    Args:
        store: where letters and the redrive are.
        queue: to a broker that is not the store.
        owner: owner of the lease.
        patience_s: how long to wait without any outcome.
    """

    def __init__(
        self,
        store: Store,
        settings: AccountingSettings,
        registry: Registry,
        queue: Queue,
        redrive_id: str,
        owner: str,
        patience_s: float,
    ) -> None:
        self._id = redrive_id
        self._owner = owner
        self._patience_s = patience_s
        self._job = store.redrives.job(redrive_id)
        self._record = known(self._job, redrive_id)
        self._pace = RateLimiter(self._status)
        self._letters = Letters(store)
        self._dead = store.dead_letters
        predictor = Predictor(store.published, settings, registry)
        self._staleness = Staleness(store.published, predictor, registry)
        self._sending = Sending(store, registry, queue, redrive_id, owner, predictor, self._staleness, self._keep_lease)
        self._renewed_at = self._outcome_at = time.monotonic()
        self._passed_over = 0

    @property
    def _status(self) -> RedriveStatus:
        return self._record.status

    def prepare(self, *, resend: bool) -> None:
        """Take the snapshot if it is not taken; make a stopped redrive begin its canary again.

        Raises:
            OperationRefusedError: another process took the lease.
        """
        if self._status.state is RedriveState.BUILDING:
            self._take_snapshot(Selection.from_dict(self._status.selection))
        while resend and self._job.take_back(STEP):
            self._keep_lease()
        if self._status.state is RedriveState.STOPPED:
            # Something was mended since it stopped itself: try a few again before the rest.
            self._job.count_canary(-self._status.canary_sent)
        self._job.move_to(RedriveState.RUNNING)
        self._record = known(self._job, self._id)
        self._pace = RateLimiter(self._status)

    def _take_snapshot(self, selection: Selection) -> None:
        """Write down every letter that matches; taken again after a crash, it is the same set or a larger one."""
        # Listed before anything is sent: what dies again is a new letter, and would be met again.
        for part in chunks(self._letters.ids(selection), STEP):
            self._job.add(part)
            self._keep_lease()
        start = 0
        while self._staleness.supersedes and (ids := self._job.pending(STEP, start=start)):
            newest = self._job.newest()
            self._staleness.note_newest(list(self._dead.get_many(ids).values()), newest)
            self._job.note_newest(newest)
            start += STEP
            self._keep_lease()
        self._job.move_to(RedriveState.READY, total=known(self._job, self._id).status.pending)

    def go(
        self, on_progress: Callable[[RedriveStatus], None], should_stop: Callable[[], bool]
    ) -> tuple[RedriveState, str]:
        """Send and collect until there is a reason to end; the state to leave the redrive in, and why.

        Raises:
            OperationRefusedError: another process took the lease.
        """
        newest = self._job.newest() if self._staleness.supersedes else {}
        while True:
            self._keep_lease()
            collected = self._collect_outcomes()
            self._record = known(self._job, self._id)
            on_progress(self._status)
            ending = self._ending(should_stop() or self._record.stop_asked)
            if ending is not None:
                return ending
            room = self._pace.room(self._status)
            if room:
                self._send_some(room, newest)
                # The patience begins anew with what was just sent.
                self._outcome_at = time.monotonic()
            elif not collected:
                time.sleep(POLL_S)

    def _send_some(self, room: int, newest: dict[str, str]) -> None:
        is_canary = self._status.canary_sent < self._status.canary
        ids = self._spread(room) if is_canary else self._job.pending(room)
        sent = self._sending.send(ids, newest, self._status, self._pace)
        if is_canary:
            self._job.count_canary(sent)

    def _spread(self, number: int) -> list[str]:
        """Ids from all over the pending letters, at even distances: what fails may have come all at one time."""
        places = (place * self._status.pending // number for place in range(number))
        return [letter_id for place in places for letter_id in self._job.pending(1, start=place)]

    def _collect_outcomes(self) -> int:
        """Look at some of what is under way; how many have an outcome now."""
        done, failed, open_ = self._job.collect(self._passed_over, STEP)
        # A slow category must not hide the outcomes of the others.
        self._passed_over = self._passed_over + open_ if done + failed + open_ == STEP else 0
        if done + failed or not self._status.under_way:
            self._outcome_at = time.monotonic()
        return done + failed

    def _ending(self, asked: bool) -> tuple[RedriveState, str] | None:
        status = self._status
        if brake := self._pace.brake(status):
            return RedriveState.STOPPED, brake
        if not status.pending and not status.under_way:
            return RedriveState.DONE, ""
        if asked:
            return RedriveState.PAUSED, f"{status.pending} letters are not sent yet."
        if status.under_way and time.monotonic() - self._outcome_at > self._patience_s:
            return RedriveState.STALLED, (
                f"{status.under_way} letters were sent, and nothing became of them for {self._patience_s:g} s: see "
                "that a worker runs, then resume; with --resend if the broker lost them."
            )
        return None

    def _keep_lease(self) -> None:
        if time.monotonic() - self._renewed_at > LEASE_S / 5:
            self._renewed_at = time.monotonic()
            if self._job.renew_lease(self._owner, LEASE_S):
                raise OperationRefusedError(f"Another process took over redrive {self._id}.")
