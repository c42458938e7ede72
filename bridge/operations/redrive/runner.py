"""``RedriveRunner``: one process's run of a redrive, from the snapshot to the reason for which it ends."""

import time
from collections.abc import Callable

from bridge.model.errors import OperationRefusedError
from bridge.model.registry import Registry
from bridge.operations.dry_run import Predictor
from bridge.operations.letters import Letters
from bridge.operations.redrive.job import RedriveState, RedriveStatus
from bridge.operations.redrive.letter_set import PendingLetters
from bridge.operations.redrive.rate import STEP, RateLimiter
from bridge.operations.redrive.record import LEASE_S, RedriveRecord
from bridge.operations.redrive.sending import Sending
from bridge.operations.staleness import Staleness
from bridge.ports import Queue
from bridge.redis_adapter import Store
from bridge.settings import AccountingSettings

POLL_S = 0.02


class RedriveRunner:
    """Sends and collects, as the owner of the lease.

    Args:
        store: where letters and the redrive are.
        sender: to a broker that is not the store.
        owner: owner of the lease.
        patience_s: how long to wait without any outcome.
    """

    def __init__(
        self,
        store: Store,
        settings: AccountingSettings,
        registry: Registry,
        sender: Queue,
        redrive_id: str,
        owner: str,
        patience_s: float,
    ) -> None:
        self._id = redrive_id
        self._owner = owner
        self._patience_s = patience_s
        self._job = store.redrives.job(redrive_id)
        self._record = RedriveRecord(self._job)
        self._status = self._record.known()
        self._pace = RateLimiter(self._status)
        predictor = Predictor(store.published, settings, registry)
        staleness = Staleness(store.published, predictor)
        self._snapshot = PendingLetters(
            self._job,
            Letters(store),
            store.dead_letters,
            staleness if staleness.supersedes_at_all(registry) else None,
            self._keep_lease,
        )
        self._sending = Sending(store, registry, sender, redrive_id, owner, predictor, staleness, self._keep_lease)
        self._renewed_at = self._outcome_at = time.monotonic()
        self._passed_over = 0

    def prepare(self, *, resend: bool) -> None:
        """Take the snapshot if it is not taken; make a stopped redrive begin its canary again.

        Raises:
            OperationRefusedError: another process took the lease.
        """
        if self._status.state is RedriveState.BUILDING:
            self._snapshot.take(self._status.chosen)
        if resend:
            self._snapshot.take_back_sent()
        if self._status.state is RedriveState.STOPPED:
            # Something was mended since it stopped itself: try a few again before the rest.
            self._job.set(canary_sent=0)
        self._job.set_state(RedriveState.RUNNING.value, "")
        self._status = self._record.known()
        self._pace = RateLimiter(self._status)

    def go(
        self, on_progress: Callable[[RedriveStatus], None], should_stop: Callable[[], bool]
    ) -> tuple[RedriveState, str]:
        """Send and collect until there is a reason to end; the state to leave the redrive in, and why.

        Raises:
            OperationRefusedError: another process took the lease.
        """
        newest = self._snapshot.newest()
        while True:
            self._keep_lease()
            collected = self._collect_outcomes()
            self._status = self._record.known()
            on_progress(self._status)
            ending = self._ending(should_stop())
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
        pending = self._job.letters
        # From all over: what fails may have come all at one time.
        ids = pending.spread(room, self._status.pending) if is_canary else pending.first(room)
        sent = self._sending.send(ids, newest, self._status, self._pace)
        if is_canary:
            self._job.add("canary_sent", sent)

    def _collect_outcomes(self) -> int:
        """Look at some of what is under way; how many have an outcome now."""
        done, failed, open_ = self._job.letters.collect(self._passed_over, STEP)
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
        if asked or self._job.stop_was_asked():
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
