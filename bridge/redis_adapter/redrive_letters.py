"""``RedriveLetters``: the letters of one redrive, from pending to in flight to an outcome, each step one script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import redis

from bridge.messages import TaskMessage
from bridge.model.dead_letter import DeadLetter, head_of
from bridge.model.errors import OperationRefusedError
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.ledger import entry
from bridge.redis_adapter.script import Answer, script
from bridge.redis_adapter.task_queue import queue_item
from bridge.settings import AccountingSettings

KEPT_S = 30 * 86_400
"""How long a redrive is remembered after its state last changed."""


class Marked(NamedTuple):
    """What came of marking letters as sent; if any is left out, none was marked."""

    left_out: frozenset[str]  # letters that are gone, or are in flight in another redrive
    busy: tuple[str, ...]  # the ones that are in flight


class Outcomes(NamedTuple):
    """How many letters of a look succeeded, how many failed, and how many have no outcome yet."""

    succeeded: int
    failed: int
    in_flight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReturnedMessage:
    """A quarantined message on its way back to its queue."""

    letter: DeadLetter  # that holds it
    task: str
    queue: str
    book_id: str  # under which the accounting had its events; empty if it had none
    event_ids: bytes  # 16 bytes an event


class RedriveLetters:
    """Moves letters of one redrive.

    What takes the ``owner`` of the lease raises OperationRefusedError if another process has it; nothing was changed
    then.
    """

    def __init__(self, client: redis.Redis, settings: AccountingSettings, job_id: str) -> None:
        self._client = client
        self._id = job_id
        self._bounds = (settings.dead_max, settings.dead_max_bytes)
        self._queue_prefix = settings.queue_prefix
        keys = keyspace_of(client)
        self._job_keys = keys.of_redrive(job_id)
        self._pending = keys.redrive_pending(job_id)
        self._unconfirmed = keys.redrive_unconfirmed(job_id)
        self._newest = keys.redrive_newest(job_id)

    # Pending

    def add(self, letter_ids: Sequence[str]) -> None:
        """Have letters sent. Idempotent."""
        with store_errors():
            # One score for all: Redis then orders by id, which for UUIDv7 is by time.
            self._client.zadd(self._pending, dict.fromkeys(letter_ids, 0))

    def count_pending(self) -> int:
        """How many are not sent yet."""
        with store_errors():
            return int(self._client.zcard(self._pending))

    def first(self, number: int, *, start: int = 0) -> list[str]:
        """Ids of pending letters in the order in which they are sent."""
        with store_errors():
            ids: Any = self._client.zrange(self._pending, start, start + number - 1)
        return [text(letter_id) for letter_id in ids]

    def spread(self, number: int, pending: int) -> list[str]:
        """Ids from all over the pending letters, at even distances."""
        if number >= pending:
            return self.first(number)
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            for place in range(number):
                rank = place * pending // number
                pipeline.zrange(self._pending, rank, rank)
            return [text(ids[0]) for ids in pipeline.execute() if ids]

    def take_back(self, limit: int) -> int:
        """Have up to so many letters pending again that were sent and have no outcome; returns how many."""
        return int(self._run("redrive_resend", [limit]))

    def newest(self) -> dict[str, str]:
        """What was noted by ``note_newest``."""
        with store_errors():
            values: Any = self._client.hgetall(self._newest)
        return {text(name): text(value) for name, value in values.items()}

    def note_newest(self, newest: Mapping[str, str]) -> None:
        """Write down the newest letter about each thing."""
        if newest:
            with store_errors():
                self._client.hset(self._newest, mapping=dict[Any, Any](newest))
                self._client.expire(self._newest, KEPT_S)

    # Sending

    def mark_sent(self, owner: str, letter_ids: Sequence[str], message: TaskMessage | None) -> Marked:
        """Mark letters as sent, and in the same step put their message, which they are in, on its queue.

        ``message`` is None where the broker is another server: until ``confirm`` they are unconfirmed then.
        """
        place = self._queue_prefix + message.queue if message else self._unconfirmed
        item = queue_item(message, announced=False) if message else b""
        answer = self._run("redrive_send", [self._id, owner, item, *letter_ids], place=place)
        if not isinstance(answer, list):
            return Marked(frozenset(), ())
        words = [text(letter_id) for letter_id in answer]
        return Marked(frozenset(words), tuple(words[words.index("") + 1 :]))

    def confirm(self, letter_ids: Sequence[str]) -> None:
        """The broker has what was marked as sent."""
        with store_errors():
            self._client.srem(self._unconfirmed, *letter_ids)

    def return_message(self, owner: str, message: ReturnedMessage) -> bool:
        """Put a whole message back on its queue, and end its letter in the same step; False if that is gone."""
        answer = self._run(
            "redrive_return",
            [
                owner,
                message.letter.letter_id,
                message.letter.raw,
                message.book_id,
                entry(message.task, message.queue, b""),
                message.event_ids,
                KEPT_S,
            ],
            queue=self._queue_prefix + message.queue,
        )
        return text(answer) == "sent"

    def unfold(self, owner: str, letter_id: str, parts: Sequence[DeadLetter]) -> None:
        """Replace a letter that holds a whole message by letters of its events, which are pending then."""
        arguments: list[str | int | bytes] = [owner, letter_id, *self._bounds]
        for part in parts:
            arguments += (part.letter_id, msgspec.json.encode(part), msgspec.json.encode(head_of(part)))
        self._run("redrive_unfold", arguments)

    def leave_out(self, field: str, letter_ids: Sequence[str]) -> None:
        """Letters are not sent; they are counted in a field of the record."""
        self._run("redrive_leave", [field, *letter_ids])

    # Outcomes

    def collect(self, passed_over: int, limit: int) -> Outcomes:
        """Look at up to so many letters in flight, behind the first ones; those that have an outcome are counted."""
        return Outcomes(*map(int, self._run("redrive_collect", [self._id, passed_over, limit])))

    def _run(self, name: str, arguments: Sequence[str | int | bytes], **own: str) -> Answer:
        with store_errors():
            answer = script(name).run(self._client, arguments, **self._job_keys, **own)
        if isinstance(answer, bytes | str) and text(answer) == "lease":
            raise OperationRefusedError(f"Another process took over redrive {self._id}.")
        return answer
