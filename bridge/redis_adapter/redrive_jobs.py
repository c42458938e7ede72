"""Redrives: their records, the lease on running one, and the letters of one, each step of theirs one script."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import redis

from bridge.messages import TaskMessage
from bridge.messages.whole_message import WholeMessage
from bridge.model.bounds import PARSER_ERRORS
from bridge.model.dead_letter import DeadLetter, head_of
from bridge.model.errors import OperationRefusedError
from bridge.model.plain_text import one_line
from bridge.model.redrive import Outcomes, RedriveRecord, RedriveState, RedriveStatus
from bridge.ports.work import Queue
from bridge.redis_adapter.client import store_errors, text
from bridge.redis_adapter.script import Answer, OfStore, as_hash, look
from bridge.redis_adapter.task_queue import entry, queue_item
from bridge.settings import AccountingSettings
from bridge.settings.topology import topology

KEPT_S = 30 * 86_400
"""How long a redrive is remembered after its state last changed."""
JOBS_MAX = 1000
"""Redrives that are remembered; the oldest fall off."""


class RedriveJobs(OfStore):
    """``bridge.ports.RedriveJobs`` on Redis."""

    def __init__(self, client: redis.Redis, settings: AccountingSettings) -> None:
        super().__init__(client)
        self._settings = settings

    def job(self, job_id: str) -> "RedriveJob":
        """One of them; asks Redis nothing."""
        return RedriveJob(self._client, self._settings, job_id)

    def newest(self, limit: int) -> list[str]:
        """One ZREVRANGE, of JOBS_MAX at most."""
        with store_errors():
            ids: Any = self._client.zrevrange(self._keys.REDRIVES, 0, limit - 1)
        return [text(job_id) for job_id in ids]


class RedriveJob(OfStore):
    """``bridge.ports.RedriveJob`` on Redis: a hash, and sets of letters beside it.

    Args:
        settings: bounds of the dead letters, and the broker's place and key prefix.
        job_id: id of the redrive.
    """

    def __init__(self, client: redis.Redis, settings: AccountingSettings, job_id: str) -> None:
        super().__init__(client)
        self._id = job_id
        self._bounds = (settings.dead_max, settings.dead_max_bytes)
        self._queue_prefix = settings.queue_prefix
        self._one_server = topology(settings).one_server
        self._job_keys = self._keys.of_redrive(job_id)
        self._key, self._pending, self._sent = (self._job_keys[name] for name in ("redrive", "pending", "sent"))
        self._unconfirmed = self._job_keys["unconfirmed"]
        self._newest = self._job_keys["newest"]

    # The record and the lease

    def begin(self, status: RedriveStatus) -> None:
        """One transaction; the record lives KEPT_S from its last change."""
        fields: dict[Any, Any] = {
            "selection": msgspec.json.encode(status.selection),
            "who": status.who,
            "rate": status.rate,
            "canary": status.canary,
            "max_failures": "" if status.max_failures is None else status.max_failures,
            "state": status.state.value,
            "created_ms": status.created_ms,
        }
        with store_errors(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hset(self._key, mapping=fields)
            pipeline.expire(self._key, KEPT_S)
            pipeline.zadd(self._keys.REDRIVES, {self._id: status.created_ms})
            pipeline.zremrangebyrank(self._keys.REDRIVES, 0, -JOBS_MAX - 1)
            pipeline.execute()

    def read(self) -> RedriveRecord | None:
        """One script call, so that numbers and state are of one moment."""
        (seconds, _), flat, pending, in_flight = look(
            self._client, ("TIME",), ("HGETALL", self._key), ("ZCARD", self._pending), ("ZCARD", self._sent)
        )
        fields = as_hash(flat)
        return (
            _read(self._key, self._id, fields, pending, in_flight, int(seconds) * 1000) if "state" in fields else None
        )

    def move_to(self, state: RedriveState, reason: str = "", *, total: int | None = None) -> None:
        """One round trip; keeps the record for KEPT_S from now. Idempotent."""
        fields: dict[Any, Any] = {"state": state.value, "reason": reason, "stop": ""}
        if total is not None:
            fields["total"] = total
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hset(self._key, mapping=fields)
            pipeline.expire(self._key, KEPT_S)
            pipeline.execute()

    def count_canary(self, letters: int) -> None:
        """One HINCRBY. Not idempotent."""
        with store_errors():
            self._client.hincrby(self._key, "canary_sent", letters)

    def ask_to_stop(self) -> None:
        """One HSET, which whoever runs it reads with the record. Idempotent."""
        with store_errors():
            self._client.hset(self._key, "stop", "1")

    def renew_lease(self, owner: str, lease_s: float) -> int:
        """One script call, by Redis' clock."""
        return int(self._run("redrive_lease", [owner, int(lease_s * 1000)], redrive=self._key))

    # Pending

    def add(self, letter_ids: Sequence[str]) -> None:
        """One ZADD. Idempotent."""
        with store_errors():
            # One score for all: Redis then orders by id, which for UUIDv7 is by time.
            self._client.zadd(self._pending, dict.fromkeys(letter_ids, 0))

    def pending(self, number: int, *, start: int = 0) -> list[str]:
        """One ZRANGE, in the order of the ids."""
        with store_errors():
            ids: Any = self._client.zrange(self._pending, start, start + number - 1)
        return [text(letter_id) for letter_id in ids]

    def take_back(self, limit: int) -> int:
        """One script call; what was sent may then be run twice, and is published once."""
        return int(self._of_letters("redrive_resend", [limit]))

    def newest(self) -> dict[str, str]:
        """One HGETALL."""
        with store_errors():
            values: Any = self._client.hgetall(self._newest)
        return {text(name): text(value) for name, value in values.items()}

    def note_newest(self, newest: Mapping[str, str]) -> None:
        """Kept for KEPT_S, as the record. Idempotent."""
        if newest:
            with store_errors():
                self._client.hset(self._newest, mapping=dict[Any, Any](newest))
                self._client.expire(self._newest, KEPT_S)

    # Sending

    def send(self, owner: str, letter_ids: Sequence[str], message: TaskMessage, queue: Queue) -> frozenset[str]:
        """One script call; with the broker elsewhere also a message through ``queue`` and an SREM."""
        place = self._queue_prefix + message.queue if self._one_server else self._unconfirmed
        item = queue_item(message, announced=False) if self._one_server else b""
        answer = self._of_letters("redrive_send", [self._id, owner, item, *letter_ids], place=place)
        if isinstance(answer, list):
            words = [text(letter_id) for letter_id in answer]
            gone, busy = words[: words.index("")], words[words.index("") + 1 :]
            if busy:
                self.leave_out("busy", busy)
            return frozenset([*gone, *busy])
        if not self._one_server:
            # Marked before and confirmed after: a crash in between shows the letters as in flight, for take_back.
            queue.send([message])
            with store_errors():
                self._client.srem(self._unconfirmed, *letter_ids)
        return frozenset()

    def return_message(self, owner: str, letter: DeadLetter, message: WholeMessage) -> bool:
        """One script call; only where the store is the broker. A second one finds the letter gone."""
        record = entry(message.task, message.queue, b"")
        answer = self._of_letters(
            "redrive_return",
            [owner, letter.letter_id, letter.raw, message.book_id, record, message.event_ids, KEPT_S],
            queue=self._queue_prefix + message.queue,
        )
        return text(answer) == "sent"

    def unfold(self, owner: str, letter_id: str, parts: Sequence[DeadLetter]) -> None:
        """One script call for all parts. A second one finds the letter gone."""
        arguments: list[str | int | bytes] = [owner, letter_id, *self._bounds]
        for part in parts:
            arguments += (part.letter_id, msgspec.json.encode(part), msgspec.json.encode(head_of(part)))
        self._of_letters("redrive_unfold", arguments)

    def leave_out(self, why: str, letter_ids: Sequence[str]) -> None:
        """One script call. Idempotent: only pending letters are counted."""
        self._of_letters("redrive_leave", [why, *letter_ids])

    # Outcomes

    def collect(self, passed_over: int, limit: int) -> Outcomes:
        """One script call for up to ``limit`` letters. Idempotent: each is counted when it leaves."""
        return Outcomes(*map(int, self._of_letters("redrive_collect", [self._id, passed_over, limit])))

    def _of_letters(self, name: str, arguments: Sequence[str | int | bytes], **own: str) -> Answer:
        """The answer of a script that moves letters.

        Raises:
            OperationRefusedError: another process has the lease.
        """
        answer = self._run(name, arguments, **self._job_keys, **own)
        if isinstance(answer, bytes | str) and text(answer) == "lease":
            raise OperationRefusedError(f"Another process took over redrive {self._id}.")
        return answer


def _read(
    key: str, redrive_id: str, fields: Mapping[str, str], pending: int, in_flight: int, now_ms: int
) -> RedriveRecord:
    """How far a redrive is, from its record.

    Raises:
        OperationRefusedError: a stranger wrote into the record.
    """
    try:
        selection = msgspec.json.decode(fields["selection"])
        max_failures = float(fields["max_failures"]) if fields["max_failures"] else None
        known = {"selection": selection, "max_failures": max_failures, "pending": pending, "under_way": in_flight}
        return RedriveRecord(
            status=msgspec.convert({**fields, **known, "replay_id": redrive_id}, RedriveStatus, strict=False),
            is_leased=bool(fields.get("owner")) and int(fields.get("lease_ends", 0)) >= now_ms,
            stop_asked=bool(fields.get("stop")),
        )
    except (KeyError, *PARSER_ERRORS) as error:
        why = one_line(
            f"Somebody else wrote into the key {key}, so that redrive {redrive_id} cannot be read ({error})."
        )
        raise OperationRefusedError(f"{why} Its letters stay: begin another.") from error
