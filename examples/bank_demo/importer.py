"""``StatementImport``: a statement goes into the ledger, and each thing that happens is emitted once it is true."""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

from bridge import DomainEvent
from bridge.catalogs.finance import (
    AccountBalanceUpdated,
    AccountHoldingsUpdated,
    AccountSyncAttempted,
    AccountSyncSucceeded,
    FileImportAttempted,
    FileImportFailed,
    FileImportProgressed,
    FileImportSucceeded,
    HoldingsSyncAttempted,
    HoldingsSyncSucceeded,
    TransactionSyncAttempted,
    TransactionSyncSucceeded,
)
from examples.bank_demo.ledger import Ledger
from examples.bank_demo.reading import file_format, read_statement
from examples.bank_demo.statement import Account, Statement, StatementError, Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """How an import ended.

    Attributes:
        imported: transactions that are new in the ledger.
        known: transactions that were there before.
        error: why it failed; None if it did not.
    """

    imported: int = 0
    known: int = 0
    error: str | None = None


class InterruptedImportError(StatementError):
    """The importer was stopped; import the file again to continue where it ended."""


class StatementImport:
    """Imports files for one user.

    Args:
        ledger: where accounts and transactions go.
        emit: takes each domain event, after what it tells is committed.
        user_id: whose statement it is.
        pace: called before each transaction; raises InterruptedImportError to end the import.
    """

    def __init__(
        self,
        ledger: Ledger,
        emit: Callable[[DomainEvent], object],
        user_id: UUID,
        pace: Callable[[], None] = lambda: None,
    ) -> None:
        self._ledger = ledger
        self._emit = emit
        self._user_id = user_id
        self._pace = pace

    def run(self, name: str, content: bytes) -> Report:
        """Import one file. Importing it again enters nothing twice. Never raises on a bad file."""
        user_id = self._user_id
        self._emit(FileImportAttempted(user_id=user_id, file_name=name, file_format=file_format(name, content)))
        try:
            statement = read_statement(name, content)
            report = self._import(name, statement)
        except (StatementError, sqlite3.Error) as error:
            reason = str(error) if isinstance(error, StatementError) else f"The database refused: {error}."
            self._emit(FileImportFailed(user_id=user_id, file_name=name, reason=reason))
            return Report(error=reason)
        self._emit(FileImportSucceeded(user_id=user_id, file_name=name, transaction_count=report.imported))
        return report

    def _import(self, name: str, statement: Statement) -> Report:
        user_id, connection_id = self._user_id, uuid5(NAMESPACE_URL, f"bridge-demo:{statement.bank}")
        ids = self._open_accounts(statement, connection_id)
        for account_id in ids.values():
            self._emit(TransactionSyncAttempted(user_id=user_id, connection_id=connection_id, account_id=account_id))
        total, entered, left = statement.transaction_count, Counter[str](), _lengths(statement)
        percent = 0
        for done, (account, row) in enumerate(_by_date(statement), start=1):
            self._pace()
            entered[account.number] += self._enter(ids[account.number], account, row)
            left[account.number] -= 1
            if not left[account.number]:
                self._emit(
                    TransactionSyncSucceeded(
                        user_id=user_id,
                        connection_id=connection_id,
                        account_id=ids[account.number],
                        transaction_count=entered[account.number],
                    )
                )
            if done * 100 // total > percent:
                percent = done * 100 // total
                self._emit(
                    FileImportProgressed(
                        user_id=user_id,
                        file_name=name,
                        progress_percent=percent,
                        records_processed=done,
                        total_records=total,
                    )
                )
        self._sync_holdings(statement, connection_id, ids)
        return Report(imported=entered.total(), known=total - entered.total())

    def _open_accounts(self, statement: Statement, connection_id: UUID) -> dict[str, UUID]:
        user_id, slug = self._user_id, slug_of(statement.bank)
        self._emit(AccountSyncAttempted(user_id=user_id, connection_id=connection_id, provider_slug=slug))
        ids = {account.number: self._ledger.open_account(statement.bank, account) for account in statement.accounts}
        self._emit(
            AccountSyncSucceeded(
                user_id=user_id, connection_id=connection_id, provider_slug=slug, account_count=len(ids)
            )
        )
        return ids

    def _enter(self, account_id: UUID, account: Account, row: Transaction) -> bool:
        """Enter one transaction; whether it is new."""
        balances = self._ledger.add(account_id, row)
        if balances is None:
            return False
        self._emit(
            AccountBalanceUpdated(
                user_id=self._user_id,
                account_id=account_id,
                previous_balance=balances[0],
                new_balance=balances[1],
                currency=account.currency,
            )
        )
        return True

    def _sync_holdings(self, statement: Statement, connection_id: UUID, ids: dict[str, UUID]) -> None:
        user_id = self._user_id
        for account in statement.accounts:
            number = account.holdings_count
            if number is None:
                continue
            account_id = ids[account.number]
            self._emit(HoldingsSyncAttempted(user_id=user_id, connection_id=connection_id, account_id=account_id))
            if self._ledger.set_holdings(account_id, number):
                self._emit(AccountHoldingsUpdated(user_id=user_id, account_id=account_id, holdings_count=number))
            self._emit(
                HoldingsSyncSucceeded(
                    user_id=user_id, connection_id=connection_id, account_id=account_id, holdings_count=number
                )
            )


def slug_of(bank: str) -> str:
    """A bank's name as a slug."""
    return re.sub(r"[^a-z0-9]+", "-", bank.casefold()).strip("-")[:60] or "bank"


def _by_date(statement: Statement) -> Iterator[tuple[Account, Transaction]]:
    """All transactions in the order in which they happened; as in the file within a day."""
    rows = [(account, row) for account in statement.accounts for row in account.transactions]
    return iter(sorted(rows, key=lambda pair: pair[1].posted_on))


def _lengths(statement: Statement) -> dict[str, int]:
    return {account.number: len(account.transactions) for account in statement.accounts}
