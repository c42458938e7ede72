"""``Spool``: this process's own spool file, for what it accepts until the broker has it; made anew when it is lost.

Each process writes a file of its own in the spool directory and holds a lock on it, so that processes
share a directory without waiting for each other. A file whose lock is free belongs to no process any more:
whoever finds it first adopts it, sends what is in it, and removes it (see ``Orphans``).
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from bridge.model.bounds import SPOOL_WRITE_BYTES_MAX
from bridge.model.errors import SpoolError
from bridge.model.plain_text import plain_logger
from bridge.producer.batching import Accepted, User
from bridge.producer.lifetime import new_name
from bridge.producer.row_validation import RowValidator
from bridge.producer.spool_file import SUFFIX, DamagedError, SpoolFile, as_spool_error
from bridge.producer.spool_folder import BAD_SUFFIX, close, is_at, lock, lock_path, set_aside, unlock

logger = plain_logger(__name__)

BUSY_TIMEOUT_S = 5.0
ROW_BYTES = 48
"""What a row takes on disk beside its texts, at most."""
COPY_ROWS_MAX = 1_000
"""Rows that are copied at a time into a file that is made anew."""
SHRINK_FROM_BYTES = 2**20
"""A file that is empty and larger gives its room back to the other processes."""


_INSERT = (
    "INSERT INTO events (id, task, queue, envelope, user)"
    " VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT), ?, CAST(? AS TEXT))"
)


class Spool(SpoolFile):
    """Written by one thread, read by another. The file must not be there; others may write to it.

    All files of the directory may take ``max_bytes`` on disk.

    Raises:
        SpoolError: the directory cannot be written.
    """

    def __init__(self, path: Path, validator: RowValidator, *, max_bytes: int) -> None:
        super().__init__(path, validator, make=True, busy_timeout_s=BUSY_TIMEOUT_S)
        self._max_bytes = max_bytes
        self._inode = _identity(path)
        self._files = 1
        self._last_id = 0
        self.set_aside = 0

    @classmethod
    def create(cls, folder: Path, validator: RowValidator, *, max_bytes: int, name: str = "") -> Self:
        """A new file for this process, of that name or of one of its own.

        Raises:
            SpoolError: the directory cannot be written.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls(folder / f"{name or new_name()}{SUFFIX}", validator, max_bytes=max_bytes)
        except OSError as error:
            raise SpoolError(f"BRIDGE_SPOOL_DIR {folder} cannot be written: {error.strerror}.") from error

    def append(self, events: Sequence[Accepted]) -> int:
        """Write as many of the events as there is room for, in order, and make sure that they are on disk.

        Returns:
            How many were written; not all where they are many, which says nothing.

        Raises:
            SpoolError: the disk is full or broken; none was written.
        """
        with self._mutex:
            if self._closed:
                return 0
            try:
                self._look_after_the_file()
                fitting = self._fitting(events)
                if fitting:
                    self._write(fitting)
            except (sqlite3.Error, OSError, DamagedError) as error:
                raise self._met(error) from error
            return len(fitting)

    def oldest(self, limit: int) -> tuple[int, list[Accepted]]:
        """As ``SpoolFile.oldest``; a file that cannot be read on is set aside, and a new one goes on with the rest."""
        try:
            return super().oldest(limit)
        except DamagedError as error:
            with self._mutex:
                self._replace(error)
            return super().oldest(limit)

    def remove(self, up_to: int) -> None:
        """As ``SpoolFile.remove``; an empty file that has grown large gives its room back."""
        super().remove(up_to)
        with self._mutex, suppress(sqlite3.Error, OSError):
            if self._closed or self.path.stat().st_size <= SHRINK_FROM_BYTES:
                return
            if not self._rows(after=0):
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def look_after(self) -> None:
        """See whether the file is still there; one that was removed is made anew with all that it held.

        Raises:
            SpoolError: it cannot be made.
        """
        with self._mutex:
            if not self._closed:
                try:
                    self._look_after_the_file()
                except (sqlite3.Error, OSError) as error:
                    raise self._met(error) from error

    # Inside, under the mutex

    def _fitting(self, events: Sequence[Accepted]) -> list[Accepted]:
        room = self._max_bytes - self._used_bytes()
        fitting: list[Accepted] = []
        size = 0
        for event in events:
            size += len(event.envelope) + len(event.task) + len(event.queue) + ROW_BYTES
            if size > room or (fitting and size > SPOOL_WRITE_BYTES_MAX):
                break
            fitting.append(event)
        return fitting

    def _used_bytes(self) -> int:
        """What all spool files of the directory take, with what stands beside them, but for free pages in ours."""
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0] * 4096
        with os.scandir(self.path.parent) as entries:
            return sum(_size_of(entry) for entry in entries if _is_counted(entry.name)) - int(free)

    def _write(self, events: Sequence[Accepted]) -> None:
        self._db.execute("BEGIN")
        try:
            self._db.executemany(
                _INSERT,
                # Numbered here: SQLite would give the number of a row that was sent to the next one.
                [
                    (number, event.task, event.queue, event.envelope, _kept(event.user))
                    for number, event in enumerate(events, self._last_id + 1)
                ],
            )
            self._db.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._last_id += len(events)

    def _met(self, error: Exception) -> Exception:
        """What an error means, after a damaged file was replaced."""
        found = as_spool_error(error, self.path)
        if isinstance(found, DamagedError):
            self._replace(found)
        return found if isinstance(found, SpoolError) else SpoolError(f"{self.path} cannot be used: {found}.")

    def _look_after_the_file(self) -> None:
        is_there = _identity(self.path) == self._inode
        if is_there and (is_at(self._lock_file, lock_path(self.path)) or self._lock_again()):
            return
        logger.error("bridge.spool.gone path=%s: somebody took it; a new one goes on with what it held.", self.path)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_anew()

    def _lock_again(self) -> bool:
        """Somebody removed our lock file; whether no process has adopted the spool file since then."""
        try:
            descriptor = lock(self.path)
        except BlockingIOError:
            return False
        close(self._lock_file)
        self._lock_file = descriptor
        return True

    def _replace(self, error: Exception) -> None:
        """Go on in a new file with what can still be read of this one.

        Raises:
            SpoolError: no file can be made.
        """
        self.set_aside += set_aside(self.path, str(error))
        self._make_anew()

    def _make_anew(self) -> None:
        """Go on in a file of another name: SQLite, when it closes the old one, tidies up by its name."""
        old, old_lock, old_path = self._db, self._lock_file, self.path
        self._files += 1
        self.path = old_path.with_name(f"{self.name}~{self._files}{SUFFIX}")
        try:
            self._lock_file = lock(self.path)
            try:
                self._db = self._connect(make=True)
            except BaseException:
                unlock(self._lock_file, self.path)
                raise
        except BaseException:
            self.path, self._lock_file = old_path, old_lock
            raise
        self._inode = _identity(self.path)
        self._copy(old)
        with suppress(sqlite3.Error):
            old.close()
        unlock(old_lock, old_path)

    def _copy(self, old: sqlite3.Connection) -> None:
        """Copy the rows that wait, as far as they can be read. They keep their numbers."""
        last = self._read[0][0] - 1 if self._read else self._passed
        query = "SELECT rowid, task, queue, envelope, user FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?"
        with suppress(sqlite3.Error):
            while rows := old.execute(query, (last, COPY_ROWS_MAX)).fetchall():
                self._db.executemany(_INSERT, rows)
                last = rows[-1][0]


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is at that path; None if there is none."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _kept(user: User | None) -> str | None:
    """A user as SQLite keeps it, whose own numbers are too small."""
    return None if user is None else str(user)


def _is_counted(name: str) -> bool:
    """Whether it is a spool file or stands beside one; what was set aside is not counted."""
    return SUFFIX in name and BAD_SUFFIX not in name and not name.endswith("-shm")


def _size_of(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0
