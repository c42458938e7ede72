"""Reading a bank statement: which format a file has, and what no file may be, whatever its format."""

from pathlib import PurePath

from examples.bank_demo.csv_file import read_csv
from examples.bank_demo.ofx import read_ofx
from examples.bank_demo.statement import Statement, StatementError

SIZE_MAX_BYTES = 8 * 1024 * 1024
"""Largest file that is read."""
TRANSACTIONS_MAX = 50_000


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
