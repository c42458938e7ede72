"""Reading CSV exports of banks: the header names the columns; separator, decimal sign and date order are found out."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import PurePath

from examples.bank_demo.fields import References, clip, decode_text, parse_amount
from examples.bank_demo.statement import Account, Statement, StatementError, Transaction

HEADER_LINES_MAX = 20
"""Lines looked at for the header: banks like to put a title above it."""

_COLUMNS = {
    "date": (
        "date", "posted date", "posting date", "transaction date", "booking date", "buchungstag", "datum", "fecha",
    ),
    "amount": ("amount", "transaction amount", "betrag", "umsatz", "montant", "importe", "value"),
    "debit": ("debit", "withdrawal", "withdrawals", "money out", "paid out", "soll", "débit"),
    "credit": ("credit", "deposit", "deposits", "money in", "paid in", "haben", "crédit"),
    "description": (
        "description", "payee", "name", "details", "narrative", "memo", "merchant", "verwendungszweck",
        "buchungstext", "libellé", "concepto",
    ),
    "account": ("account", "account number", "account name", "iban", "konto", "compte", "cuenta"),
    "currency": ("currency", "currency code", "währung", "devise", "divisa"),
    "balance": ("balance", "running balance", "saldo", "solde"),
    "reference": ("id", "reference", "transaction id", "fitid", "referenz", "référence"),
}  # fmt: skip


def read_csv(name: str, content: bytes) -> Statement:
    """Read a CSV with a header line; rows of several accounts may be mixed.

    Raises:
        StatementError: no header is found, or a row is wrong; the message names the line.
    """
    text = decode_text(content)
    lines, columns, first_line = _header(text)
    rows = [(first_line + offset, row) for offset, row in enumerate(lines) if any(cell.strip() for cell in row)]
    dates = _date_reader([row[columns["date"]] for _, row in rows if len(row) > columns["date"]])
    accounts: dict[str, _AccountRows] = {}
    for line, row in rows:
        cells = {key: row[index].strip() for key, index in columns.items() if index < len(row)}
        number = clip(cells.get("account", "")) or PurePath(name).stem
        account = accounts.setdefault(number, _AccountRows(number, _currency(cells, line)))
        account.add(cells, line, dates)
    return Statement(
        bank=PurePath(name).stem, file_format="csv", accounts=tuple(account.finish() for account in accounts.values())
    )


class _AccountRows:
    """Collects the rows of one account."""

    def __init__(self, number: str, currency: str) -> None:
        self._number = number
        self._currency = currency
        self._references = References()
        self._rows: list[Transaction] = []
        self._balances: list[Decimal] = []

    def add(self, cells: dict[str, str], line: int, dates: Callable[[str, int], date]) -> None:
        posted_on = dates(cells.get("date", ""), line)
        amount = _amount(cells, line)
        description = clip(cells.get("description", "")) or "Transaction"
        reference = clip(cells.get("reference", "")) or self._references.make(
            posted_on.isoformat(), str(amount), description
        )
        row = Transaction(reference=reference, posted_on=posted_on, amount=amount, description=description)
        self._rows.append(row)
        if cells.get("balance"):
            self._balances.append(parse_amount(cells["balance"], f"Line {line}, balance"))

    def finish(self) -> Account:
        newest_first = bool(self._rows) and self._rows[0].posted_on > self._rows[-1].posted_on
        rows = tuple(reversed(self._rows)) if newest_first else tuple(self._rows)
        complete = len(self._balances) == len(rows) and bool(rows)
        closing = (self._balances[0] if newest_first else self._balances[-1]) if complete else None
        return Account(
            number=self._number,
            name=self._number,
            currency=self._currency,
            transactions=rows,
            closing_balance=closing,
        )


def _header(text: str) -> tuple[list[list[str]], dict[str, int], int]:
    """The rows below the header, where each column is, and the number of the first line below the header."""
    for separator in (",", ";", "\t", "|"):
        try:
            rows = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
        except csv.Error:
            continue
        for index, row in enumerate(rows[:HEADER_LINES_MAX]):
            columns = _columns(row)
            if "date" in columns and ("amount" in columns or {"debit", "credit"} <= columns.keys()):
                return rows[index + 1 :], columns, index + 2
    raise StatementError(
        "No header line was found: a CSV statement needs columns such as Date, Description and Amount "
        "(or Debit and Credit)."
    )


def _columns(row: Sequence[str]) -> dict[str, int]:
    cells = [cell.strip().strip("\ufeff").casefold() for cell in row]
    found: dict[str, int] = {}
    for key, names in _COLUMNS.items():
        index = next((cells.index(name) for name in names if name in cells), None)
        if index is not None:
            found[key] = index
    return found


def _amount(cells: dict[str, str], line: int) -> Decimal:
    if cells.get("amount"):
        return parse_amount(cells["amount"], f"Line {line}")
    sides = [parse_amount(cells[key], f"Line {line}") if cells.get(key) else None for key in ("credit", "debit")]
    credit, debit = sides
    if credit is None and debit is None:
        raise StatementError(f"Line {line} has no amount.")
    return (credit or Decimal(0)) - abs(debit or Decimal(0))


def _currency(cells: dict[str, str], line: int) -> str:
    currency = cells.get("currency", "").upper() or "USD"
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise StatementError(f"Line {line}: the currency {currency[:10]!r} is no ISO 4217 code.")
    return currency


def _date_reader(texts: Sequence[str]) -> Callable[[str, int], date]:
    """A reader for the file's way of writing dates, which is decided once, from all of them."""
    order = _day_or_month_first(texts)

    def read(text: str, line: int) -> date:
        match = re.match(r"\s*(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,4})", text)
        compact = re.fullmatch(r"\s*(\d{4})(\d{2})(\d{2})\s*", text)
        try:
            if compact:
                return date(*map(int, compact.groups()))
            if match is None:
                raise ValueError
            first, second, third = map(int, match.groups())
            if first > 31:
                return date(first, second, third)
            year = third if third > 99 else 2000 + third
            return date(year, second, first) if order == "day" else date(year, first, second)
        except ValueError:
            raise StatementError(f"Line {line}: {text[:40]!r} is no date.") from None

    return read


def _day_or_month_first(texts: Sequence[str]) -> str:
    """Which number comes first in dates such as 03/04/2026.

    Raises:
        StatementError: nothing in the file tells.
    """
    pairs = [
        (int(match.group(1)), match.group(2), int(match.group(3)))
        for match in (re.match(r"\s*(\d{1,2})([-/.])(\d{1,2})[-/.]\d", text) for text in texts)
        if match
    ]
    if not pairs or any(first > 12 or sign == "." for first, sign, _ in pairs):
        return "day"
    if any(second > 12 for _, _, second in pairs):
        return "month"
    if all(first == second for first, _, second in pairs):
        return "day"
    raise StatementError(
        "The dates can be read as day/month or as month/day, and nothing in the file tells which. "
        "Write them as YYYY-MM-DD."
    )
