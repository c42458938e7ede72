"""The fields of a statement, whatever its format: text, amounts of money, and references where there are none."""

import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from hashlib import sha256

from examples.bank_demo.statement import StatementError

AMOUNT_MAX = Decimal("1e15")
TEXT_MAX = 200
"""Characters kept of a description or name."""
_ORNAMENTS = re.compile(r"[\s'$€£¥]")
"""What may stand in an amount without changing it; all kinds of spaces are among it."""


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
