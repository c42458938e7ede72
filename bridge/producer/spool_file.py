"""``SpoolFile``: one file of accepted events in SQLite, held under its lock; whatever it holds is judged before use."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge.model.bounds import SPOOL_ENVELOPE_BYTES_MAX, SPOOL_ROUND_BYTES_MAX, SPOOL_TEXT_BYTES_MAX
from bridge.model.errors import SpoolError
from bridge.producer.batching import Accepted
from bridge.producer.lifetime import SQLITE
from bridge.producer.row_validation import RejectedRow, RowValidator
from bridge.producer.spool_folder import lock, remove_with_side_files, unlock

SUFFIX = ".spool"
WAL_PAGES_MAX = 256
"""Pages of 4 KiB in the write-ahead log before it is written back, and what is left of it afterwards."""

SIZE_MIN = 512
"""Bytes of the smallest page that SQLite knows; it takes what is shorter for empty."""

SCHEMA = "CREATE TABLE events (id INTEGER PRIMARY KEY, task TEXT, queue TEXT, envelope BLOB, user TEXT)"
ROWS_BEGIN = -(2**63)
"""Before every number that a row may have; ours begin at 1, and a file may be anybody's."""
_COLUMNS = {"id", "task", "queue", "envelope", "user"}
_UNREADABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
"""SQLite's codes for a file that will never be read. The others tell of the disk, the memory, or somebody's lock."""


class DamagedError(SpoolError):
    """A spool file cannot be read, by anybody."""


class NotOursError(SpoolError):
    """A spool file or its lock belongs to another user."""


class SpoolFile:
    """Events in order. Safe with threads; a forked child leaves it alone: see ``release_inherited_locks``.

    Args:
        path: the file; its lock file stands beside it.
        validator: decides which rows are sent.
        make: make the file, which must not be there.
        busy_timeout_s: how long another program's lock on the database is waited for.

    Raises:
        FileNotFoundError: it is not there (any more).
        BlockingIOError: another process holds it.
        NotOursError: it is another user's, or its lock file is.
        DamagedError: it is no file of events.
        SpoolError: the disk, or another program's lock, does not let us.
    """

    def __init__(self, path: Path, validator: RowValidator, *, make: bool = False, busy_timeout_s: float) -> None:
        self.path = path
        self._validator = validator
        self._busy_timeout_s = busy_timeout_s
        self._mutex = SQLITE.lock()
        self._closed = False
        self._passed = ROWS_BEGIN  # rows up to here were sent, or cannot be
        self._read: list[tuple[int, int]] = []  # runs of rows that were handed out
        self._handed_out: list[Accepted] = []  # what they hold
        self._sent: list[tuple[int, int]] = []  # runs of rows that are still to be removed
        self.damaged = 0
        self.foreign = 0
        if not make:
            _refuse_what_is_not_ours(path)
        if SQLITE.torn:
            raise SpoolError("This process was forked in the middle of a call of SQLite, and cannot use it any more.")
        with self._mutex:
            self._lock_file = _hold(path)
            try:
                self._db = self._connect(make=make)
            except BaseException:
                self._unlock()
                raise

    @property
    def name(self) -> str:
        """The producer that made the file; behind ``~`` stands which of its files it is, if it lost one."""
        return self.path.stem.partition("~")[0]

    def oldest(self, limit: int) -> tuple[int, list[Accepted]]:
        """The oldest events, and the number to hand to ``remove`` when the broker has them; the same until then.

        Rows that may not be sent are passed over, counted, and stay.

        Raises:
            DamagedError: the file cannot be read on.
            SpoolError: the disk, or another program's lock, does not let us.
        """
        with self._mutex:
            if not self._read:
                self._handed_out = self._read_on(limit)
            return self._passed, self._handed_out

    def remove(self, up_to: int) -> None:
        """Forget events that the broker has. After ``close`` they stay, and are sent again, which is harmless.

        What the disk does not let us remove is removed with the next, and not sent again by this process.

        Raises:
            SpoolError: nothing could be removed.
        """
        with self._mutex:
            self._sent += [(first, min(last, up_to)) for first, last in self._read if first <= up_to]
            self._read, self._handed_out = [], []
            if self._closed or not self._sent:
                return
            with _spool_errors(self.path):
                self._db.execute("BEGIN")
                try:
                    self._db.executemany("DELETE FROM events WHERE rowid BETWEEN ? AND ?", self._sent)
                    self._db.execute("COMMIT")
                except BaseException:
                    self._roll_back()
                    raise
            self._sent.clear()

    def count(self) -> int:
        """How many events wait; those that were handed out and not removed among them. 0 after ``close``.

        Raises:
            SpoolError: that cannot be read.
        """
        with self._mutex, _spool_errors(self.path):
            if self._closed:
                return 0
            handed_out = sum(last - first + 1 for first, last in self._read)
            return handed_out + self._rows(after=self._passed)

    def close(self) -> None:
        """Close the file; an empty one is removed with all that stands beside it. Idempotent, never raises."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            empty = False
            with suppress(sqlite3.Error):
                if self._sent:
                    self._db.executemany("DELETE FROM events WHERE rowid BETWEEN ? AND ?", self._sent)
                empty = not self._rows(after=ROWS_BEGIN)
            with suppress(sqlite3.Error):
                self._db.close()
            if empty:
                remove_with_side_files(self.path)
            self._unlock()

    # Inside, under the mutex

    def _connect(self, *, make: bool) -> sqlite3.Connection:
        with _spool_errors(self.path):
            if make:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            db = sqlite3.connect(self.path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False)
            try:
                db.text_factory = bytes  # what is no UTF-8 is judged like everything else
                db.execute("PRAGMA trusted_schema = OFF")
                _judge_schema(db)
                db.execute("PRAGMA journal_mode = WAL")
                # One fsync a group of events: what append() returned for survives a power failure.
                db.execute("PRAGMA synchronous = FULL")
                db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES_MAX}")
                db.execute(f"PRAGMA journal_size_limit = {WAL_PAGES_MAX * 4096}")
                db.execute(SCHEMA.replace("TABLE", "TABLE IF NOT EXISTS", 1))
            except BaseException:
                db.close()
                if make:
                    remove_with_side_files(self.path)  # or the next attempt would find it in its way
                raise
        return db

    def _read_on(self, limit: int) -> list[Accepted]:
        events: list[Accepted] = []
        try:
            while not self._closed and not events and self._next(limit, events):
                pass
        except (sqlite3.Error, SpoolError) as error:
            if not events:  # otherwise the next reading tells
                raise as_spool_error(error, self.path) from error
        return events

    def _next(self, limit: int, events: list[Accepted]) -> bool:
        """Read some rows into ``events``; whether there were any."""
        text, blob = SPOOL_TEXT_BYTES_MAX, SPOOL_ENVELOPE_BYTES_MAX
        rows = self._db.execute(
            f"SELECT rowid, CASE WHEN length(task) <= {text} THEN task END,"  # noqa: S608  (numbers of ours)
            f" CASE WHEN length(envelope) <= {blob} THEN envelope END,"
            f" CASE WHEN length(user) <= {text} THEN user END FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?",
            (self._passed, limit),
        )
        size, found = 0, False
        for number, *values in rows:
            found = True
            judged = self._validator.judge(values)
            if isinstance(judged, Accepted):
                size += len(judged.envelope)
                events.append(judged)
                self._note_read(number)
            else:
                self.foreign += judged is RejectedRow.FOREIGN
                self.damaged += judged is RejectedRow.DAMAGED
            self._passed = number
            if size > SPOOL_ROUND_BYTES_MAX:
                break
        return found

    def _note_read(self, number: int) -> None:
        if self._read and self._read[-1][1] == number - 1:
            self._read[-1] = (self._read[-1][0], number)
        else:
            self._read.append((number, number))

    def _rows(self, *, after: int) -> int:
        return int(self._db.execute("SELECT count(*) FROM events WHERE rowid > ?", (after,)).fetchone()[0])

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _unlock(self) -> None:
        unlock(self._lock_file, self.path)


def as_spool_error(error: Exception, path: Path) -> Exception:
    """What an error of SQLite or of the system means for a spool file."""
    if isinstance(error, SpoolError | BlockingIOError | FileNotFoundError):
        return error
    text = f"The spool file {path} cannot be used: {error}."
    if isinstance(error, PermissionError):
        return NotOursError(text)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return DamagedError(text) if code in _UNREADABLE else SpoolError(text)


@contextmanager
def _spool_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError, ValueError) as error:
        raise as_spool_error(error, path) from error


def _hold(path: Path) -> int:
    try:
        return lock(path)
    except BlockingIOError:
        raise
    except OSError as error:
        raise NotOursError(f"The lock file of {path} cannot be opened: {error.strerror}.") from error


def _refuse_what_is_not_ours(path: Path) -> None:
    """Look at a path that anybody may have made, before it is opened.

    Raises:
        FileNotFoundError: nothing is there.
        DamagedError: it is no file.
        NotOursError: it is another user's, or may not be read and written.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError(f"{path} is no file, but a {_KINDS.get(stat.S_IFMT(found.st_mode), 'special file')}.")
    if 0 < found.st_size < SIZE_MIN:
        raise DamagedError(f"{path} is too short for a database.")
    if os.geteuid() not in (0, found.st_uid) or not os.access(path, os.R_OK | os.W_OK):
        path.lstat()  # raises if its owner has removed it since
        raise NotOursError(f"The spool file {path} belongs to another user, or may not be read and written.")


_KINDS = {stat.S_IFDIR: "directory", stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}


def _judge_schema(db: sqlite3.Connection) -> None:
    """Nothing but the table may be there: a view or a trigger would run somebody's code in each statement.

    Raises:
        DamagedError: it is another database.
    """
    made = db.execute("SELECT type, sql FROM sqlite_master").fetchall()
    if any(kind != b"table" or not _is_plain(sql or b"") for kind, sql in made):
        raise DamagedError("It is another program's database.")
    columns = {column[1].decode(errors="replace") for column in db.execute("PRAGMA table_info(events)")}
    if made and columns != _COLUMNS:
        raise DamagedError("Its table of events has other columns.")


def _is_plain(sql: bytes) -> bool:
    """Whether a statement makes a table with row numbers, and none that a module of SQLite answers for."""
    return sql.startswith(b"CREATE TABLE") and b"WITHOUT ROWID" not in sql.upper()
