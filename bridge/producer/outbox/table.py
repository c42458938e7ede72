"""``OutboxTable``: claims rows for one process at a time, oldest first, and removes what the broker has.

Only one process sends from a table at any moment, so that nothing overtakes within a user's events. Whoever claims
writes the name of the round and the time on the rows, and commits, before it sends: no lock and no transaction is held
meanwhile. There is no cursor: a transaction that commits late, with a low id, is the oldest row at the next look.

A round keeps its name and its rows until they are gone: whichever process sends them again, after a refusal or a death,
sends the same messages, which the accounting knows by their ids. Behind the @ of the name stands since when the broker
may have them: ``<owner>/<number>@<ms>``, with 0 while it surely has not.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from bridge.model.bounds import SPOOL_ENVELOPE_BYTES_MAX, SPOOL_ROUND_BYTES_MAX
from bridge.ports.outbox import OutboxDatabase, Run
from bridge.producer.batching import Accepted
from bridge.producer.outbox.row import SCHEMA_VERSION, RowState
from bridge.producer.outbox.schema import DIALECTS, TABLE, Dialect
from bridge.producer.outbox.trouble import BusyError, explained
from bridge.producer.row_validation import RowValidator

LEASE_S = 10.0
"""For how long rows stay another process' that claimed them and did not end them: another that takes them too
early sends what the broker may have, which the worker then knows by its id."""
COUNTED_MAX = 1_000
"""Rows set aside, or for others, that are counted; of more, so many are shown."""
ROUNDS = 1_000_000
"""Numbers of a process' rounds, which begin anew then: a name has room for so many."""
COLUMNS = "id, event_id, task, order_key, envelope, created_ms, schema_version, state, claimed_by, claimed_ms"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are this process' to send, in their order."""

    round: str = ""  # its name; empty without rows
    claimed_ms: int = 0  # when, by the database's clock
    ids: Sequence[int] = ()  # of the events
    events: Sequence[Accepted] = ()
    set_aside: int = 0  # rows that were found to be unfit, and set aside
    more: bool = False  # whether there were more than fit into the round


class OutboxFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a table at one moment, in rows."""

    waiting: int = 0  # also those that this process passes over
    oldest_s: float = 0.0  # since the oldest that waits was emitted, by the database's clock; 0 if none waits
    set_aside: int = 0  # up to COUNTED_MAX
    foreign: int = 0  # of a type, or a schema version, that this process does not know; up to COUNTED_MAX


class _Found(msgspec.Struct, frozen=True):
    """What the first look tells of a row."""

    id: int
    size_bytes: int
    round: str | None
    claimed_ms: int | None  # None as long as it was not claimed, 0 if the broker did not take it
    now_ms: int

    @property
    def age_ms(self) -> float:
        """Since it was claimed; endless if no process may be sending it."""
        return self.now_ms - self.claimed_ms if self.claimed_ms else float("inf")

    @property
    def unsure_ms(self) -> int:
        """Since when the broker may have it; 0 if it surely has not."""
        sent_ms = _sent_ms(self.round or "")
        return self.now_ms - sent_ms if sent_ms else 0


class OutboxTable:
    """One table. Not thread-safe; each call is one transaction, and raises OutboxError where it cannot be done.

    Args:
        owner: name of the drain, which no other of any process has.
        remembered_s: for how long the broker's side knows an event by its id.
    """

    def __init__(self, database: OutboxDatabase, validator: RowValidator, *, owner: str, remembered_s: float) -> None:
        self._database = database
        self._validator = validator
        self._owner = owner
        self._remembered_ms = int(remembered_s * 1000)
        self._rounds = 0
        self._held = Claim()
        self._sent: Claim | None = None  # a round that the broker has, and that could not be removed
        tasks = sorted(validator.tasks)
        self._known = f"schema_version <= {SCHEMA_VERSION} AND task IN ({', '.join(['%s'] * len(tasks))})"
        self._tasks = tasks

    def check(self) -> None:
        """See whether the table is there, with its columns.

        Raises:
            OutboxError: it is not; the message says what to do.
        """
        with self._transaction() as run:
            run(f"SELECT {COLUMNS} FROM {TABLE} WHERE 1 = 0")

    def claim(self, limit: int) -> Claim:
        """Claim the oldest rows, as many as fit into one round; whatever among them is unfit is set aside.

        Raises:
            BusyError: another process has them.
            OutboxError: the database does not let us.
        """
        with self._transaction() as run:
            self._remove(run, self._sent)
            found = self._oldest(run, limit)
            unsure = [row.id for row in found if row.unsure_ms > self._remembered_ms]
            chosen = _of_one_round([row for row in found if row.id not in unsure])
            claim, damaged = self._judged(*self._take(run, chosen)) if chosen else (Claim(), [])
            self._set_aside(run, unsure, RowState.UNSURE)
            self._set_aside(run, damaged, RowState.DAMAGED)
        self._sent, self._held = None, claim
        more = len(found) == limit or len(chosen) + len(unsure) < len(found)
        return msgspec.structs.replace(claim, set_aside=len(unsure) + len(damaged), more=more)

    def remove(self, claim: Claim) -> None:
        """Forget rows that the broker has; what cannot be removed now is removed before anything else is claimed."""
        self._sent = claim
        with self._transaction() as run:
            self._remove(run, claim)
        self._sent = None

    def release(self, claim: Claim, *, undone: bool = False) -> None:
        """Leave rows to whoever comes next.

        Args:
            claim: the broker did not confirm that it has them.
            undone: whether it surely took none of them.
        """
        is_first = _sent_ms(claim.round) == claim.claimed_ms
        name = _named(claim.round, 0) if undone and is_first else claim.round
        ids, whose = _listed(claim.ids), "claimed_by = %s AND claimed_ms = %s"
        with self._transaction() as run:
            run(
                f"UPDATE {self._words.by_id} SET claimed_by = %s, claimed_ms = 0 WHERE id IN ({ids}) AND {whose}",
                *(name, claim.round, claim.claimed_ms),
            )

    def look(self, most: int) -> OutboxFigures:
        """What is in the table; rows that wait are counted up to ``most``."""
        waiting = f"FROM {TABLE} WHERE state = {RowState.WAITING}"
        with self._transaction() as run:
            oldest = run(f"SELECT created_ms, {self._words.now_ms} {waiting} ORDER BY id LIMIT 1")
            return OutboxFigures(
                waiting=_counted(run, waiting, most) if oldest else 0,
                oldest_s=max(0.0, (oldest[0][1] - oldest[0][0]) / 1000) if oldest else 0.0,
                set_aside=_counted(run, f"FROM {TABLE} WHERE state > {RowState.WAITING}", COUNTED_MAX),
                foreign=_counted(run, f"{waiting} AND NOT ({self._known})", COUNTED_MAX, *self._tasks) if oldest else 0,
            )

    def close(self) -> None:
        """Drop the connection. Idempotent, never raises."""
        self._database.close()

    # Inside a transaction

    @property
    def _words(self) -> Dialect:
        return DIALECTS[self._database.dialect]

    @contextmanager
    def _transaction(self) -> Iterator[Run]:
        try:
            with self._database.transaction() as run:
                yield run
        except Exception as error:  # of whatever driver
            where = self._database
            found = explained(error, name=where.name, dialect=where.dialect, maker=where.maker)
            if not isinstance(found, BusyError):
                self._database.close()  # the other end may not be the one we want: a replica, a closed connection
            raise found from error

    def _oldest(self, run: Run, limit: int) -> list[_Found]:
        """The oldest rows that this process knows.

        Raises:
            BusyError: another process has claimed one of them.
        """
        rows = run(
            f"SELECT id, LENGTH(envelope), claimed_by, claimed_ms, {self._words.now_ms}"
            f" FROM {TABLE} WHERE state = {RowState.WAITING} AND {self._known} ORDER BY id LIMIT {limit}",
            *self._tasks,
        )
        found = [_Found(*row) for row in rows]
        if any(row.age_ms < LEASE_S * 1000 and not self._is_ours(row) for row in found):
            raise BusyError("Another process sends from this table.")
        return found

    def _is_ours(self, row: _Found) -> bool:
        """Whether the last claim of the row was this process'."""
        return (row.round, row.claimed_ms) == (self._held.round, self._held.claimed_ms)

    def _take(self, run: Run, chosen: Sequence[_Found]) -> tuple[Claim, Sequence[Sequence[Any]]]:
        """Claim rows, under the name of their round or of a new one, and read them.

        Raises:
            BusyError: another process was faster with one of them.
        """
        first, ids = chosen[0], _listed([row.id for row in chosen])
        self._rounds = (self._rounds + 1) % ROUNDS
        name = first.round or f"{self._owner}/{self._rounds}"
        if not _sent_ms(name):
            name = _named(name, first.now_ms)
        free = f"claimed_ms IS NULL OR claimed_ms <= {first.now_ms - int(LEASE_S * 1000)}"
        if self._is_ours(first):
            free += f" OR claimed_ms = {first.claimed_ms}"
        run(
            f"UPDATE {self._words.by_id} SET claimed_by = %s, claimed_ms = %s WHERE id IN ({ids}) AND ({free})",
            *(name, first.now_ms),
        )
        rows = run(
            f"SELECT id, task, CASE WHEN LENGTH(envelope) <= {SPOOL_ENVELOPE_BYTES_MAX} THEN envelope END, order_key"
            f" FROM {TABLE} WHERE id IN ({ids}) AND claimed_by = %s AND claimed_ms = %s ORDER BY id",
            *(name, first.now_ms),
        )
        if len(rows) != len(chosen):
            raise BusyError("Another process has just claimed the same rows.")
        return Claim(round=name, claimed_ms=first.now_ms), rows

    def _judged(self, claim: Claim, rows: Sequence[Sequence[Any]]) -> tuple[Claim, list[int]]:
        """What may be sent of these rows, and the ids of the others."""
        ids: list[int] = []
        events: list[Accepted] = []
        damaged: list[int] = []
        for number, *values in rows:
            judged = self._validator.judge([_as_bytes(value) for value in values])
            if isinstance(judged, Accepted):
                ids.append(number)
                events.append(judged)
            else:
                damaged.append(number)
        return msgspec.structs.replace(claim, ids=ids, events=events), damaged

    def _remove(self, run: Run, claim: Claim | None) -> None:
        if claim is not None and claim.ids:
            ids = _listed(claim.ids)
            run(f"{self._words.delete} {self._words.by_id} WHERE id IN ({ids}) AND claimed_by = %s", claim.round)

    def _set_aside(self, run: Run, ids: Sequence[int], state: RowState) -> None:
        if ids:
            changes = f"state = {int(state)}, claimed_by = NULL, claimed_ms = NULL"
            run(f"UPDATE {self._words.by_id} SET {changes} WHERE id IN ({_listed(ids)})")


def _named(name: str, sent_ms: int) -> str:
    """The name of a round with another time in it."""
    return f"{name.partition('@')[0]}@{sent_ms}"


def _sent_ms(name: str) -> int:
    """Since when the broker may have what is in a round, as its name tells; 0 if it surely has not."""
    told = name.partition("@")[2]
    return int(told) if told.isdecimal() else 0


def _of_one_round(found: Sequence[_Found]) -> list[_Found]:
    """The oldest rows that are sent together: of their round, or new ones as far as they are read at once."""
    chosen: list[_Found] = []
    size = 0
    for row in found:
        if row.round != found[0].round:
            if found[0].round:
                continue
            break
        size += min(row.size_bytes, SPOOL_ENVELOPE_BYTES_MAX)
        if chosen and size > SPOOL_ROUND_BYTES_MAX:
            break
        chosen.append(row)
    return chosen


def _counted(run: Run, what: str, most: int, *values: object) -> int:
    return int(run(f"SELECT COUNT(*) FROM (SELECT 1 AS one {what} LIMIT {most}) counted", *values)[0][0])


def _listed(ids: Sequence[int]) -> str:
    """Numbers as they stand in a statement: databases bound how many values one may have."""
    return ", ".join([str(int(number)) for number in ids])


def _as_bytes(value: object) -> object:
    """A value as the validator reads it; drivers return binary values as several types."""
    if isinstance(value, str):
        return value.encode(errors="replace")
    return bytes(value) if isinstance(value, bytearray | memoryview) else value
