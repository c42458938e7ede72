"""``Ledger``: the demo's SQLite database: accounts, transactions, and the jobs that the page asks for."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from examples.bank_demo.statement import Account, Transaction

JOBS_WAITING_MAX = 20
"""Jobs that may wait; more are refused, so that clicking cannot fill the disk."""
HISTORY_MAX = 120
"""Balances of one account that the page draws."""
BUSY_TIMEOUT_S = 5.0
BUSY_PAUSE_S = 0.01

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY, bank TEXT NOT NULL, number TEXT NOT NULL, name TEXT NOT NULL, currency TEXT NOT NULL,
    opening TEXT NOT NULL, balance TEXT NOT NULL, holdings INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS transactions (
    account_id TEXT NOT NULL REFERENCES accounts(id), reference TEXT NOT NULL, posted_on TEXT NOT NULL,
    amount TEXT NOT NULL, description TEXT NOT NULL, balance TEXT NOT NULL, PRIMARY KEY (account_id, reference)
) STRICT;
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, name TEXT NOT NULL, content BLOB,
    fresh INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'waiting', note TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Something to do.

    Attributes:
        kind: ``import`` or ``session``.
        name: file name, or the device of a session.
        content: the file; None for the one that the demo was started with.
        fresh: begin with an empty ledger.
    """

    job_id: int
    kind: str
    name: str
    content: bytes | None
    fresh: bool


class Ledger:
    """One connection for one thread; several processes may hold one each.

    Args:
        path: the database file; made if it is missing.
    """

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        try:
            self._write_ahead()
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        except BaseException:
            self._db.close()
            raise

    def _write_ahead(self) -> None:
        """Let readers and the writer go side by side.

        Whoever opens a new file changes its mode, and for that one step SQLite refuses a second one at once instead
        of waiting; so we wait.
        """
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
                time.sleep(BUSY_PAUSE_S)
            else:
                return

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    # Accounts

    def open_account(self, bank: str, account: Account) -> UUID:
        """Make the account with its opening balance if it is new; its id is the same each time."""
        account_id = uuid5(NAMESPACE_URL, f"bridge-demo:{bank}:{account.number}")
        self._db.execute(
            "INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING",
            (
                str(account_id), bank, account.number, account.name, account.currency,
                str(account.opening_balance), str(account.opening_balance),
            ),
        )  # fmt: skip
        return account_id

    def add(self, account_id: UUID, row: Transaction) -> tuple[Decimal, Decimal] | None:
        """Enter a transaction and move the balance, in one step.

        Returns:
            The balance before and after; None if this transaction was entered before.
        """
        with self._step():
            (text,) = self._db.execute("SELECT balance FROM accounts WHERE id = ?", (str(account_id),)).fetchone()
            before = Decimal(text)
            after = before + row.amount
            entered = self._db.execute(
                "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    str(account_id), row.reference, row.posted_on.isoformat(), str(row.amount), row.description,
                    str(after),
                ),
            )  # fmt: skip
            if not entered.rowcount:
                return None
            self._db.execute("UPDATE accounts SET balance = ? WHERE id = ?", (str(after), str(account_id)))
        return before, after

    def set_holdings(self, account_id: UUID, number: int) -> bool:
        """Note how many positions an account holds; whether that changed."""
        changed = self._db.execute(
            "UPDATE accounts SET holdings = ? WHERE id = ? AND holdings IS NOT ?", (number, str(account_id), number)
        )
        return bool(changed.rowcount)

    def accounts(self) -> list[dict[str, Any]]:
        """Every account with its balance and how it came there, for the page."""
        rows = self._db.execute("SELECT id, name, currency, opening, balance, holdings FROM accounts ORDER BY rowid")
        return [{**dict(row), "history": self._history(row["id"])} for row in rows]

    def _history(self, account_id: str) -> list[str]:
        """The latest balances of an account, in the order in which they were entered."""
        rows = self._db.execute(
            "SELECT balance FROM transactions WHERE account_id = ? ORDER BY rowid DESC LIMIT ?",
            (account_id, HISTORY_MAX),
        )
        return [row["balance"] for row in rows][::-1]

    def empty(self) -> None:
        """Forget all accounts and transactions."""
        with self._step():
            self._db.execute("DELETE FROM transactions")
            self._db.execute("DELETE FROM accounts")

    # Jobs

    def ask(self, kind: str, name: str, *, content: bytes | None = None, fresh: bool = False) -> int | None:
        """Add a job; its number, or None when too many wait."""
        with self._step():
            (waiting,) = self._db.execute("SELECT count(*) FROM jobs WHERE state = 'waiting'").fetchone()
            if waiting >= JOBS_WAITING_MAX:
                return None
            added = self._db.execute(
                "INSERT INTO jobs (kind, name, content, fresh) VALUES (?, ?, ?, ?)", (kind, name, content, fresh)
            )
        return added.lastrowid

    def ask_for_first_import(self, name: str) -> int | None:
        """Add an import unless one was ever asked for; its number, or None."""
        added = self._db.execute(
            "INSERT INTO jobs (kind, name) SELECT 'import', ? WHERE NOT EXISTS "
            "(SELECT 1 FROM jobs WHERE kind = 'import')",
            (name,),
        )
        return added.lastrowid if added.rowcount else None

    def take(self, kind: str = "%") -> Job | None:
        """The next job, of one kind or of any, which becomes ours."""
        row = self._db.execute(
            "UPDATE jobs SET state = 'running' "
            "WHERE id = (SELECT min(id) FROM jobs WHERE state = 'waiting' AND kind LIKE ?) "
            "RETURNING id, kind, name, content, fresh",
            (kind,),
        ).fetchone()
        if row is None:
            return None
        return Job(
            job_id=row["id"], kind=row["kind"], name=row["name"], content=row["content"], fresh=bool(row["fresh"])
        )

    def finish(self, job: Job, note: str = "") -> None:
        """A job is done; its file is not kept."""
        self._db.execute("UPDATE jobs SET state = 'done', note = ?, content = NULL WHERE id = ?", (note, job.job_id))

    def importing(self) -> bool:
        """Whether an import runs or waits."""
        found = self._db.execute("SELECT 1 FROM jobs WHERE kind = 'import' AND state IN ('waiting', 'running')")
        return found.fetchone() is not None

    def last_import(self) -> dict[str, str] | None:
        """Name of the file that was imported last, and why that failed, if it did."""
        row = self._db.execute(
            "SELECT name, note AS error FROM jobs WHERE kind = 'import' AND state = 'done' ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return dict(row) if row else None

    def forget_running(self) -> None:
        """End jobs that a producer left behind; only one producer runs at a time."""
        self._db.execute("UPDATE jobs SET state = 'done', note = 'interrupted', content = NULL WHERE state = 'running'")

    # Counts

    def note_counts(self, counts: Mapping[str, int]) -> None:
        """Keep what the producer counted, for the page."""
        self._db.executemany(
            "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", counts.items()
        )

    def counts(self) -> dict[str, int]:
        """What the producer counted."""
        return {row["name"]: row["value"] for row in self._db.execute("SELECT name, value FROM counts")}

    @contextmanager
    def _step(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
