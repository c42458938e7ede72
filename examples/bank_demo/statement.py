"""What a bank statement says, whatever its file format: a bank, its accounts, and their transactions."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from bridge import BridgeError


class StatementError(BridgeError):
    """The file is no bank statement that can be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """One line of a statement.

    Attributes:
        reference: the same each time this line is read, and no other line of its account has it.
        amount: positive when money comes in.
    """

    reference: str
    posted_on: date
    amount: Decimal
    description: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """One account of a statement.

    Attributes:
        number: the bank's own; unique within the bank.
        closing_balance: after the last transaction, where the file says so.
        holdings_count: positions held; None for an account that holds none by nature.
    """

    number: str
    name: str
    currency: str
    transactions: tuple[Transaction, ...]
    closing_balance: Decimal | None = None
    holdings_count: int | None = None

    @property
    def opening_balance(self) -> Decimal:
        """Before the first transaction; zero where the file does not say."""
        if self.closing_balance is None:
            return Decimal(0)
        return self.closing_balance - sum((row.amount for row in self.transactions), Decimal(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """All accounts of one file.

    Attributes:
        bank: as the file names it.
        file_format: ``ofx`` or ``csv``.
    """

    bank: str
    file_format: str
    accounts: tuple[Account, ...]

    @property
    def transaction_count(self) -> int:
        """Transactions of all accounts."""
        return sum(len(account.transactions) for account in self.accounts)
