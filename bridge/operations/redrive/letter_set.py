"""``PendingLetters``: the letters of a redrive, listed once before anything is sent; and which are still pending."""

from collections.abc import Callable

from bridge.operations.letters import Letters, chunks
from bridge.operations.redrive.job import RedriveState
from bridge.operations.redrive.rate import STEP
from bridge.operations.selection import Selection
from bridge.operations.staleness import Staleness
from bridge.redis_adapter import DeadLetters, RedriveJob


class PendingLetters:
    """The pending letters of one redrive.

    Args:
        job: the redrive's place in the store.
        letters: where they come from.
        dead: reads them whole.
        staleness: tells which supersede which; None where no mapping of the registry has such a rule.
        keep_lease: called now and then; raises when the lease is lost.
    """

    def __init__(
        self,
        job: RedriveJob,
        letters: Letters,
        dead: DeadLetters,
        staleness: Staleness | None,
        keep_lease: Callable[[], None],
    ) -> None:
        self._job = job
        self._letters = letters
        self._dead = dead
        self._staleness = staleness
        self._keep_lease = keep_lease

    def take(self, selection: Selection) -> None:
        """Write down every letter that matches; taken again after a crash, it is the same set or a larger one.

        Raises:
            OperationRefusedError: another process took the lease.
        """
        pending = self._job.letters
        # Listed before anything is sent: what dies again is a new letter, and would be met again.
        for part in chunks(self._letters.ids(selection), STEP):
            pending.add(part)
            self._keep_lease()
        if self._staleness is not None:
            self._note_newest(self._staleness)
        self._job.set(total=pending.count_pending(), state=RedriveState.READY.value)

    def take_back_sent(self) -> None:
        """Have everything pending again that was sent and has no outcome.

        Raises:
            OperationRefusedError: another process took the lease.
        """
        while self._job.letters.take_back(STEP):
            self._keep_lease()

    # Superseding

    def newest(self) -> dict[str, str]:
        """What an event is about → age and id of the newest letter about it."""
        return {} if self._staleness is None else self._job.letters.newest()

    def _note_newest(self, staleness: Staleness) -> None:
        pending, start = self._job.letters, 0
        while ids := pending.first(STEP, start=start):
            newest = pending.newest()
            staleness.note_newest(list(self._dead.get_many(ids).values()), newest)
            pending.note_newest(newest)
            start += STEP
            self._keep_lease()
