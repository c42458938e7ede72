"""``Spool``: accepted events on disk, until the broker has them; also for the next process, after a crash.

Each process writes a file of its own in the spool directory and holds a lock on it, so that processes
share a directory without waiting for each other. A file whose lock is free belongs to nobody any more:
whoever finds it first adopts it, sends what is in it, and removes it.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec

from bridge.errors import SpoolError
from bridge.producer.batching import Accepted
from bridge.producer.naming import new_name
from bridge.producer.ordering import User

SUFFIX = ".spool"
BUSY_TIMEOUT_S = 5.0

_SCHEMA = "CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, task TEXT, queue TEXT, envelope BLOB, user TEXT)"


class _Identified(msgspec.Struct):
    """All that is read of an envelope."""

    id: UUID


_id_of = msgspec.json.Decoder(_Identified)

_inherited: list[sqlite3.Connection] = []
"""Connections that a fork brought along. Closing one here would tidy up files that the parent still uses."""


class Spool:
    """One file of events, in order. Safe with threads; not with forks: see ``abandon``.

    Args:
        path: the file; its lock file stands beside it.
        max_bytes: envelopes that the whole directory may hold, in bytes.

    Raises:
        SpoolError: the directory cannot be written.
        BlockingIOError: another process holds the file.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._mutex = threading.Lock()
        self._closed = False
        self._lock_file = _lock(path)
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            # One fsync a group of events: what append() returned for survives a power failure.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(_SCHEMA)
            if "user" not in {column[1] for column in self._db.execute("PRAGMA table_info(events)")}:
                self._db.execute("ALTER TABLE events ADD COLUMN user TEXT")  # a file that an older bridge left
            self._bytes = self._db.execute("SELECT coalesce(sum(length(envelope)), 0) FROM events").fetchone()[0]
        except sqlite3.Error as error:
            raise SpoolError(f"The spool file {path} cannot be used: {error}.") from error

    @classmethod
    def create(cls, folder: Path, *, max_bytes: int, name: str = "") -> Self:
        """A new file for this process, of that name or of one of its own."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(folder / f"{name or new_name()}{SUFFIX}", max_bytes=max_bytes)
        except OSError as error:
            raise SpoolError(f"BRIDGE_SPOOL_DIR {folder} cannot be written: {error.strerror}.") from error

    @classmethod
    def adopt(cls, folder: Path, *, max_bytes: int) -> Iterator[Self]:
        """Every file in the directory that no process holds."""
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                yield cls(path, max_bytes=max_bytes)
            except (BlockingIOError, FileNotFoundError):
                continue

    @property
    def name(self) -> str:
        """Of the file, without its suffix: the producer that made it."""
        return self._path.stem

    def append(self, events: Sequence[Accepted]) -> int:
        """Write as many of the events as there is room for, in order, and make sure that they are on disk.

        Returns:
            How many were written.

        Raises:
            SpoolError: the disk is full or broken; none was written.
        """
        with self._mutex:
            if self._closed:
                return 0
            room = self._max_bytes - self._bytes - self._others_bytes()
            fitting: list[Accepted] = []
            for event in events:
                room -= len(event.envelope)
                if room < 0:
                    break
                fitting.append(event)
            if fitting:
                self._write(fitting)
            return len(fitting)

    def _write(self, events: Sequence[Accepted]) -> None:
        try:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT INTO events (task, queue, envelope, user) VALUES (?, ?, ?, ?)",
                [(event.task, event.queue, event.envelope, _kept(event.user)) for event in events],
            )
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise SpoolError(f"The spool file {self._path} could not be written: {error}.") from error
        self._bytes += sum(len(event.envelope) for event in events)

    def oldest(self, limit: int) -> tuple[int, list[Accepted]]:
        """The oldest events, and the number to hand to ``remove`` when the broker has them."""
        with self._mutex:
            query = "SELECT id, task, queue, envelope, user FROM events ORDER BY id LIMIT ?"
            rows = [] if self._closed else self._db.execute(query, (limit,)).fetchall()
        return (rows[-1][0] if rows else 0), [
            Accepted(task, queue, _id_of.decode(envelope).id, envelope, user) for _, task, queue, envelope, user in rows
        ]

    def remove(self, up_to: int) -> None:
        """Forget events that the broker has. After ``close`` they stay, and are sent again, which is harmless."""
        with self._mutex:
            if self._closed:
                return
            size = self._db.execute(
                "SELECT coalesce(sum(length(envelope)), 0) FROM events WHERE id <= ?", (up_to,)
            ).fetchone()[0]
            self._db.execute("DELETE FROM events WHERE id <= ?", (up_to,))
            self._bytes -= size

    def count(self) -> int:
        """How many events wait."""
        with self._mutex:
            return int(self._db.execute("SELECT count(*) FROM events").fetchone()[0])

    def close(self) -> None:
        """Let go of the file; an empty one is removed. Idempotent."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            empty = not self._db.execute("SELECT 1 FROM events LIMIT 1").fetchone()
            self._db.close()
            if empty:
                for name in (self._path, _lock_path(self._path)):
                    name.unlink(missing_ok=True)
            os.close(self._lock_file)

    def abandon(self) -> None:
        """In a forked child: leave the parent's file alone."""
        _inherited.append(self._db)
        os.close(self._lock_file)

    def _others_bytes(self) -> int:
        """What the files of other processes take; their size on disk, a little more than their envelopes."""
        others = (path for path in self._path.parent.glob(f"*{SUFFIX}") if path != self._path)
        return sum(_size_of(path) for path in others)


def _kept(user: User | None) -> str | None:
    """A user as SQLite keeps it, whose own numbers are too small."""
    return None if user is None else str(user)


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _lock(path: Path) -> int:
    """Hold the lock of a spool file.

    Raises:
        BlockingIOError: another process holds it.
    """
    descriptor = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
