"""``MemoryRedriveJobs``: the twin of redrives, in a store that is the broker too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from bridge.messages.task_message import ATTEMPT_HEADER, REDRIVE_HEADER, TaskMessage
from bridge.messages.whole_message import WholeMessage
from bridge.model.dead_letter import DeadLetter
from bridge.model.errors import OperationRefusedError
from bridge.model.redrive import Outcomes, RedriveRecord, RedriveState, RedriveStatus
from bridge.ports import Queue
from bridge.testing.state import Buried, State, Twin
from bridge.testing.task_queue import MemoryQueue


@dataclass(slots=True)
class _Job:
    """A redrive, with its letters: pending, in flight, and of these the ones whose whole message was put back."""

    status: RedriveStatus | None = None
    pending: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    returned: dict[str, str] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    owner: str = ""
    lease_ends_ms: int = 0
    stop_asked: bool = False


class MemoryRedriveJobs(Twin):
    """Satisfies ``bridge.ports.RedriveJobs``."""

    QUIET = frozenset({"job"})

    def __init__(self, state: State, queue: MemoryQueue) -> None:
        super().__init__(state)
        self._queue = queue
        self._jobs: dict[str, _Job] = {}

    def job(self, job_id: str) -> "MemoryRedriveJob":
        return MemoryRedriveJob(self._state, self._queue, job_id, self._jobs.setdefault(job_id, _Job()))

    def newest(self, limit: int) -> list[str]:
        return [job_id for job_id, job in reversed(self._jobs.items()) if job.status is not None][:limit]


class MemoryRedriveJob(Twin):
    """Satisfies ``bridge.ports.RedriveJob``."""

    def __init__(self, state: State, queue: MemoryQueue, job_id: str, job: _Job) -> None:
        super().__init__(state)
        self._queue = queue
        self._id = job_id
        self._job = job

    # The record and the lease

    def begin(self, status: RedriveStatus) -> None:
        self._job.status = status

    def read(self) -> RedriveRecord | None:
        job = self._job
        if job.status is None:
            return None
        status = replace(job.status, pending=len(job.pending), under_way=len(job.sent), owner=job.owner)
        is_leased = bool(job.owner) and job.lease_ends_ms >= self._state.clock.now_ms()
        return RedriveRecord(status, is_leased, job.stop_asked)

    def move_to(self, state: RedriveState, reason: str = "", *, total: int | None = None) -> None:
        self._set(state=state, reason=reason, **({} if total is None else {"total": total}))
        self._job.stop_asked = False

    def count_canary(self, letters: int) -> None:
        self._count("canary_sent", letters)

    def ask_to_stop(self) -> None:
        self._job.stop_asked = True

    def renew_lease(self, owner: str, lease_s: float) -> int:
        job, now_ms = self._job, self._state.clock.now_ms()
        if job.owner not in ("", owner) and job.lease_ends_ms > now_ms:
            return job.lease_ends_ms - now_ms
        if lease_s:
            job.owner, job.lease_ends_ms = owner, now_ms + int(lease_s * 1000)
        elif job.owner == owner:
            job.owner = ""
        return 0

    def _set(self, **fields: object) -> None:
        if self._job.status is not None:
            self._job.status = replace(self._job.status, **fields)

    def _count(self, name: str, number: int = 1) -> None:
        self._set(**{name: getattr(self._job.status, name, 0) + number})

    # The letters

    def add(self, letter_ids: Sequence[str]) -> None:
        self._job.pending.update(letter_ids)

    def pending(self, number: int, *, start: int = 0) -> list[str]:
        return sorted(self._job.pending)[start : start + number]

    def take_back(self, limit: int) -> int:
        back = self._job.sent[:limit]
        self._end(back)
        self._job.pending.update(back)
        self._count("sent", -len(back))
        return len(back)

    def newest(self) -> dict[str, str]:
        return dict(self._job.newest)

    def note_newest(self, newest: Mapping[str, str]) -> None:
        self._job.newest |= newest

    def send(self, owner: str, letter_ids: Sequence[str], message: TaskMessage, queue: Queue) -> frozenset[str]:  # noqa: ARG002
        state, pending = self._state, self._job.pending
        self._ensure_owner(owner)
        gone = {name for name in letter_ids if name not in pending or name not in state.letters}
        busy = {name for name in letter_ids if state.in_redrive.get(name, self._id) != self._id} - gone
        if gone or busy:
            self._leave_out("gone", gone)
            self._leave_out("busy", busy)
            return frozenset(gone | busy)
        for name in letter_ids:
            self._take_along(name)
            state.in_redrive[name] = self._id
        self._queue.put_back(message)
        return frozenset()

    def return_message(self, owner: str, letter: DeadLetter, message: WholeMessage) -> bool:
        state, name = self._state, letter.letter_id
        self._ensure_owner(owner)
        buried = self._take_pending(name)
        if buried is None:
            return False
        events = state.put_back(message.book_id, message.task, message.queue, message.event_ids)
        state.counts["accepted"] += max(0, events - buried.events)
        state.counts["duplicate"] += max(0, buried.events - events)
        self._take_along(name)
        self._job.returned[name] = message.book_id
        self._queue.put_back(
            TaskMessage(
                task=message.task,
                queue=message.queue,
                envelopes=[part.envelope.encode() for part in message.letters(letter)],
                message_id=message.headers["id"],
                booked_as=message.book_id,
                attempt=message.headers.get(ATTEMPT_HEADER, 1),
                redrive=message.headers.get(REDRIVE_HEADER, ""),
            )
        )
        return True

    def unfold(self, owner: str, letter_id: str, parts: Sequence[DeadLetter]) -> None:
        state = self._state
        self._ensure_owner(owner)
        if letter_id in state.letters and len(state.letters) - 1 + len(parts) > state.settings.dead_max:
            self._leave_out("unsendable", {letter_id})
            return
        buried = self._take_pending(letter_id)
        if buried is None:
            return
        accounted = buried.events + sum(
            state.take_retry(part.letter_id) and not state.end_stray("retry", part.letter_id) for part in parts
        )
        new = [part for part in parts if part.letter_id not in state.letters]
        state.letters |= {part.letter_id: Buried(part, buried.at_ms) for part in new}
        state.counts["accepted"] += max(0, len(new) - accounted)
        state.counts["duplicate"] += max(0, accounted - len(new))
        self._count("total", len({part.letter_id for part in parts} - self._job.pending) - 1)
        self._job.pending.update(part.letter_id for part in parts)

    def leave_out(self, why: str, letter_ids: Sequence[str]) -> None:
        self._leave_out(why, set(letter_ids))

    def collect(self, passed_over: int, limit: int) -> Outcomes:
        looked_at = self._job.sent[passed_over : passed_over + limit]
        found = {name: self._outcome(name) for name in looked_at}
        done, failed = ([name for name, how in found.items() if how == one] for one in ("succeeded", "failed"))
        self._end([*done, *failed])
        self._count("succeeded", len(done))
        self._count("failed", len(failed))
        return Outcomes(len(done), len(failed), len(looked_at) - len(done) - len(failed))

    def _outcome(self, name: str) -> str:
        state, returned = self._state, self._job.returned
        if name in returned and name not in state.letters:
            return "open" if returned[name] in state.open else "succeeded"
        if name not in state.letters:
            return "succeeded"
        return "failed" if name in returned or state.letters[name].letter.replay == self._id else "open"

    def _ensure_owner(self, owner: str) -> None:
        if self._job.owner != owner:
            raise OperationRefusedError(f"Another process took over redrive {self._id}.")

    def _leave_out(self, why: str, names: set[str]) -> None:
        self._count(why, len(names & self._job.pending))
        self._job.pending -= names

    def _take_pending(self, name: str) -> Buried | None:
        """Take a letter that holds a whole message out of the letters; None if it is gone, which is counted."""
        buried = self._state.take_letter(name) if name in self._job.pending else None
        if buried is None:
            self._leave_out("gone", {name})
            return None
        self._state.counts["dead_bundled"] -= buried.events - 1
        self._job.pending.discard(name)
        return buried

    def _take_along(self, name: str) -> None:
        self._job.pending.discard(name)
        self._job.sent.append(name)
        self._count("sent")

    def _end(self, names: Sequence[str]) -> None:
        for name in names:
            self._job.sent.remove(name)
            self._job.returned.pop(name, None)
            self._state.in_redrive.pop(name, None)
