"""What a bank statement says, whatever its file format; reading one is left to ``ofx`` and ``csv_file``."""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import PurePath

from bridge.errors import BridgeError

SIZE_MAX_BYTES = 8 * 1024 * 1024
"""Largest file that is read."""
TRANSACTIONS_MAX = 50_000
AMOUNT_MAX = Decimal("1e15")
TEXT_MAX = 200
"""Characters kept of a description or name."""
_ORNAMENTS = re.compile(r"[\s'$€£¥]")
"""What may stand in an amount without changing it; all kinds of spaces are among it."""


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


def file_format(name: str, content: bytes) -> str:
    """``ofx`` or ``csv``, by what the file holds rather than by its name."""
    head = content[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").upper()
    if head.startswith(b"OFXHEADER") or b"<OFX>" in head or b"<?OFX" in head:
        return "ofx"
    return "ofx" if PurePath(name).suffix.lower() in (".ofx", ".qfx") else "csv"


def read_statement(name: str, content: bytes) -> Statement:
    """Read a bank statement: OFX/QFX 1.x and 2.x, or CSV with a header line.

    Raises:
        StatementError: it cannot be read; the message says why, in words for the person who chose the file.
    """
    from bridge.embedded.demo.csv_file import read_csv
    from bridge.embedded.demo.ofx import read_ofx

    if not content.strip():
        raise StatementError("The file is empty.")
    if len(content) > SIZE_MAX_BYTES:
        raise StatementError(f"The file is larger than {SIZE_MAX_BYTES // 1024 // 1024} MB.")
    if b"\x00" in content:
        raise StatementError("The file is not text: it holds NUL bytes. Export the statement as OFX or CSV.")
    statement = read_ofx(content) if file_format(name, content) == "ofx" else read_csv(name, content)
    if not statement.transaction_count:
        raise StatementError("The file holds no transactions.")
    if statement.transaction_count > TRANSACTIONS_MAX:
        raise StatementError(f"The file holds more than {TRANSACTIONS_MAX} transactions.")
    return statement


def decode_text(content: bytes) -> str:
    """The text of a file that does not say how it is encoded: UTF-8, or else Windows-1252."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def parse_amount(text: str, where: str) -> Decimal:
    """A decimal number, with point or comma, with or without separators of thousands and a currency sign.

    Raises:
        StatementError: it is no number, or none that an amount of money can be.
    """
    plain = _ORNAMENTS.sub("", text).replace("\u2212", "-")
    negative = plain.startswith("(") and plain.endswith(")")
    plain = plain.strip("()")
    try:
        amount = Decimal(_with_point(plain))
    except InvalidOperation:
        raise StatementError(f"{where}: {text[:40]!r} is no amount.") from None
    if not amount.is_finite() or abs(amount) > AMOUNT_MAX:
        raise StatementError(f"{where}: {text[:40]!r} is no amount of money.")
    return -amount if negative else amount


def _with_point(text: str) -> str:
    """Turn 1.234,56 and 1,234.56 into 1234.56: of two signs, the last one is the decimal's."""
    comma, point = text.rfind(","), text.rfind(".")
    if comma < 0:
        return text if text.count(".") <= 1 else text.replace(".", "")
    if point > comma:
        return text.replace(",", "")
    if point < 0 and (text.count(",") > 1 or len(text) - comma - 1 == 3):
        return text.replace(",", "")
    return text.replace(".", "").replace(",", ".")


class References:
    """Makes references for lines that have none: the same line twice on a day counts as two."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, ...]] = Counter()

    def make(self, *parts: str) -> str:
        """The reference of the next line with these parts."""
        self._seen[parts] += 1
        return sha256("\x1f".join((*parts, str(self._seen[parts]))).encode()).hexdigest()[:32]


def clip(text: str) -> str:
    """One line of text, at most ``TEXT_MAX`` characters."""
    return " ".join(text.split())[:TEXT_MAX]
