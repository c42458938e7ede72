"""Port of redrives: their records, the lease on running one, and their letters on the way to an outcome."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.messages.task_message import TaskMessage
from bridge.messages.whole_message import WholeMessage
from bridge.model.dead_letter import DeadLetter
from bridge.model.redrive import Outcomes, RedriveRecord, RedriveState, RedriveStatus
from bridge.ports.work import Queue


class RedriveJob(Protocol):
    """One redrive. Its letters are pending, then in flight, then have an outcome; each step happens once or not at all.

    What sends raises OperationRefusedError where another process has the lease; nothing was changed then.
    """

    def begin(self, status: RedriveStatus) -> None:
        """Write the redrive down."""

    def read(self) -> RedriveRecord | None:
        """How far it is; None if there is no such redrive (any more)."""

    def move_to(self, state: RedriveState, reason: str = "", *, total: int | None = None) -> None:
        """Write down where it stands, and of how many letters it is; an earlier request to stop is forgotten."""

    def count_canary(self, letters: int) -> None:
        """So many letters of the canary were sent more. Not idempotent."""

    def ask_to_stop(self) -> None:
        """Have whatever process runs the redrive pause it."""

    def renew_lease(self, owner: str, lease_s: float) -> int:
        """Take or keep the lease; 0 if this owner has it, otherwise ms until it ends. With 0 s, give it back."""

    def add(self, letter_ids: Sequence[str]) -> None:
        """Have letters sent. Idempotent."""

    def pending(self, number: int, *, start: int = 0) -> list[str]:
        """Ids of pending letters in the order in which they are sent, behind the first so many."""

    def take_back(self, limit: int) -> int:
        """Have up to so many letters pending again that were sent and have no outcome; returns how many."""

    def newest(self) -> dict[str, str]:
        """What was noted by ``note_newest``."""

    def note_newest(self, newest: Mapping[str, str]) -> None:
        """Write down the newest letter about each thing."""

    def send(self, owner: str, letter_ids: Sequence[str], message: TaskMessage, queue: Queue) -> frozenset[str]:
        """Put a message on its queue, and mark its letters as sent, in one step where the store is the broker.

        Elsewhere they are marked, sent through ``queue`` and confirmed: those that a broker did not confirm are in
        flight until ``take_back``.

        Returns:
            The letters that must be left out, gone or sent by another redrive: then nothing was sent.

        Raises:
            BrokerError: the broker did not confirm it.
        """

    def return_message(self, owner: str, letter: DeadLetter, message: WholeMessage) -> bool:
        """Put the message that a letter holds back on its queue, and end the letter in the same step; False if gone."""

    def unfold(self, owner: str, letter_id: str, parts: Sequence[DeadLetter]) -> None:
        """Replace a letter that holds a whole message by letters of its events, which are pending then.

        If there is no room for so many, it is counted as unsendable and stays.
        """

    def leave_out(self, why: str, letter_ids: Sequence[str]) -> None:
        """Pending letters are not sent, and counted under a field of RedriveStatus. Idempotent."""

    def collect(self, passed_over: int, limit: int) -> Outcomes:
        """Look at up to so many letters in flight, behind the first ones; those that have an outcome are counted."""


class RedriveJobs(Protocol):
    """All redrives; bounded, and the newest are kept."""

    def job(self, job_id: str) -> RedriveJob:
        """One of them; reads nothing."""

    def newest(self, limit: int) -> Sequence[str]:
        """Ids of the newest, newest first."""
