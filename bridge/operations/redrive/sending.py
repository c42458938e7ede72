"""``Sending`` puts letters back on their queues, or leaves them out and says why, as fast as ``RateLimiter`` allows."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from bridge.messages import TaskMessage
from bridge.messages.whole_message import WholeMessage
from bridge.model.bounds import RETRIES_BYTES_MAX
from bridge.model.dead_letter import DeadLetter
from bridge.model.redrive import RedriveStatus
from bridge.model.registry import Registry
from bridge.operations.dry_run import Predictor
from bridge.operations.letters import Letters
from bridge.operations.staleness import Staleness
from bridge.ports import Queue, Store

WINDOW = 4000
"""Letters that are sent and have no outcome yet, at most: what a stop cannot call back."""
WINDOW_MIN = 50
"""Letters under way to begin with, and for each second without any outcome."""
BACKLOG_S = 0.5
"""How much work may stand on the queues, at the pace of the outcomes: new events wait behind it."""
MEASURED_S = 1.0
"""The pace is that of the last second."""
MEASURED_MIN_S = 0.05
STEP = 1000
"""Letters read and sent in one go."""
BRAKE_MIN = 50
"""Outcomes before the failure rate of a redrive without a canary means anything."""
BURST_S = 0.2
"""What a rate allows at once, after a pause."""
MESSAGE_MAX = 200


class RateLimiter:
    """Keeps one process's run of a redrive to what was asked for: window, rate, canary, brake.

    Args:
        base: how far the redrive was when this run began: what failed before, a person has seen.
        clock: monotonic, in s.
    """

    def __init__(self, base: RedriveStatus, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._base = base
        self._clock = clock
        self._allowance = 0.0
        self._allowed_at = clock()
        self._course = deque([(self._allowed_at, 0)])

    def brake(self, status: RedriveStatus) -> str:
        """Why the redrive must stop; empty if it need not."""
        if status.max_failures is None:
            return ""
        failed, finished = status.failed - self._base.failed, self._outcomes(status)
        # While the canary is out, its own size counts: what cannot be made good any more need not be awaited.
        if failed > status.max_failures * max(finished, status.canary or BRAKE_MIN):
            return f"{failed} of {finished} failed again; the limit is {status.max_failures:.0%}."
        return ""

    def room(self, status: RedriveStatus) -> int:
        """How many letters may be sent now."""
        room = min(self._window(status) - status.under_way, STEP, status.pending)
        if status.canary_sent < status.canary:
            room = min(room, status.canary - status.canary_sent)
        elif self._awaits_canary(status):
            return 0
        if status.rate:
            room = min(room, self._allowed(status.rate))
        return max(0, room)

    def spend(self, events: int) -> None:
        """Note how many events were sent."""
        self._allowance -= events

    def is_spent(self, status: RedriveStatus) -> bool:
        """Whether the rate forbids to send any more at present."""
        return bool(status.rate) and self._allowance <= 0

    def _window(self, status: RedriveStatus) -> int:
        """Letters that may be under way: many if the workers are fast, few if an extractor is slow."""
        now, outcomes = self._clock(), self._outcomes(status)
        if outcomes != self._course[-1][1]:
            self._course.append((now, outcomes))
        while len(self._course) > 1 and now - self._course[1][0] >= MEASURED_S:
            self._course.popleft()
        since, before = self._course[0]
        per_s = (outcomes - before) / max(now - since, MEASURED_MIN_S)
        # Letters of a queue that no worker consumes must not hold up the letters of other queues forever.
        silent_s = now - self._course[-1][0]
        return round(min(WINDOW, max(per_s * BACKLOG_S, WINDOW_MIN * (1 + int(silent_s)))))

    def _awaits_canary(self, status: RedriveStatus) -> bool:
        missing = self._outcomes(status) < min(status.canary, status.total)
        return bool(status.canary) and missing and bool(status.under_way)

    def _outcomes(self, status: RedriveStatus) -> int:
        return status.failed + status.succeeded - self._base.failed - self._base.succeeded

    def _allowed(self, rate: float) -> int:
        now = self._clock()
        self._allowance = min(self._allowance + rate * (now - self._allowed_at), max(1.0, rate * BURST_S))
        self._allowed_at = now
        return int(self._allowance)


class Sending:
    """Sends the letters of one redrive on behalf of the process that has its lease.

    Args:
        store: where letters and the redrive are.
        queue: to a broker that is not the store.
        owner: owner of the lease.
        predictor: decides what can be sent.
        staleness: decides what is too old, or superseded.
        keep_lease: called now and then; raises when the lease is lost.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        queue: Queue,
        redrive_id: str,
        owner: str,
        predictor: Predictor,
        staleness: Staleness,
        keep_lease: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._queue = queue
        self._id = redrive_id
        self._owner = owner
        self._predictor = predictor
        self._staleness = staleness
        self._keep_lease = keep_lease
        self._dead = store.dead_letters
        self._job = store.redrives.job(redrive_id)
        self._letters = Letters(store)

    def send(self, ids: Sequence[str], newest: Mapping[str, str], status: RedriveStatus, pace: RateLimiter) -> int:
        """Send pending letters; how many went. Each of the others is left out, or stays pending for the rate's sake.

        Args:
            ids: ids of the letters.
            newest: what an event is about → age and id of the newest letter about it.
            status: status of the redrive.
            pace: is told what was sent.

        Raises:
            OperationRefusedError: another process took the lease.
        """
        letters = self._dead.get_many(ids)
        found = {letter_id: self._predictor.whole_message(letter) for letter_id, letter in letters.items()}
        wholes = {letter_id: message for letter_id, message in found.items() if message is not None}
        parted = {letter_id for letter_id, letter in letters.items() if self._unfold(letter)}
        others = [letter_id for letter_id in ids if letter_id not in wholes and letter_id not in parted]
        sent = 0
        for task, queue, part in _messages(self._sift(others, letters, newest, status.who), self._registry):
            sent += self._send_message(task, queue, part)
        pace.spend(sent)
        # Whole messages last: each counts as all of its events, and by then the rate may be spent.
        for letter_id in ids:
            if letter_id in wholes and not pace.is_spent(status):
                sent += self._return_message(letters[letter_id], wholes[letter_id], pace)
        return sent

    def _sift(
        self, ids: Sequence[str], letters: Mapping[str, DeadLetter], newest: Mapping[str, str], who: str
    ) -> list[DeadLetter]:
        """Leave out what must not be sent, and say why."""
        left: dict[str, list[str]] = {}
        stale: dict[str, list[str]] = {}
        superseded = self._staleness.superseded(list(letters.values()), newest)
        for letter_id in ids:
            letter = letters.get(letter_id)
            if letter is None:
                # Gone, unless this release cannot read it.
                left.setdefault("unsendable" if self._dead.history([letter_id]) else "gone", []).append(letter_id)
            elif self._predictor.mapping_of(letter) is None:
                left.setdefault("unsendable", []).append(letter_id)
            elif why := self._staleness.too_old(letter) or superseded.get(letter_id, ""):
                stale.setdefault(why, []).append(letter_id)
            elif letter_id in superseded:
                left.setdefault("undecided", []).append(letter_id)
        for why, letter_ids in stale.items():
            self._letters.discard_ids(letter_ids, reason=why, who=who, redrive=self._id)
            left.setdefault("stale", []).extend(letter_ids)
        for field, letter_ids in left.items():
            self._job.leave_out(field, letter_ids)
        out = {letter_id for letter_ids in left.values() for letter_id in letter_ids}
        return [letters[letter_id] for letter_id in ids if letter_id not in out]

    def _send_message(self, task: str, queue: str, letters: list[DeadLetter]) -> int:
        """Send one message, without letters that are gone or under way elsewhere; how many went."""
        # Each turn leaves out what others took meanwhile, so this ends.
        while letters:
            message = TaskMessage(
                task=task, queue=queue, envelopes=[letter.envelope.encode() for letter in letters], redrive=self._id
            )
            out = self._job.send(self._owner, [letter.letter_id for letter in letters], message, self._queue)
            if not out:
                return len(letters)
            letters = [letter for letter in letters if letter.letter_id not in out]
        return 0

    def _return_message(self, letter: DeadLetter, message: WholeMessage, pace: RateLimiter) -> int:
        """Put a whole message back on its queue; 0 if its letter is gone."""
        went = self._job.return_message(self._owner, letter, message)
        self._keep_lease()
        if went:
            pace.spend(message.events)
        return int(went)

    def _unfold(self, letter: DeadLetter) -> bool:
        """Replace a letter that holds a whole message by letters of its events, to be sent in their turn.

        Returns:
            Whether it was dealt with; False if it holds none, or one that goes back as it was.
        """
        parts = self._predictor.unfolded(letter)
        if parts:
            self._job.unfold(self._owner, letter.letter_id, parts)
            self._keep_lease()
        return bool(parts)


def _messages(letters: Sequence[DeadLetter], registry: Registry) -> Iterator[tuple[str, str, list[DeadLetter]]]:
    """Letters by task, in messages of a bounded size, on the queues that the tasks have today."""
    by_task: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        by_task.setdefault(letter.task, []).append(letter)
    for task, of_task in by_task.items():
        mapping = registry.mapping_of_task(task)
        queue = registry.queue_of(mapping) if mapping else of_task[0].queue
        part: list[DeadLetter] = []
        size = 0
        for letter in of_task:
            letter_bytes = len(letter.envelope.encode())
            if part and (len(part) == MESSAGE_MAX or size + letter_bytes > RETRIES_BYTES_MAX):
                yield task, queue, part
                part, size = [], 0
            part.append(letter)
            size += letter_bytes
        yield task, queue, part
