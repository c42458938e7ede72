"""Reading OFX and QFX: version 1.x (SGML, leaves left open) and 2.x (XML), by one tokenizer that expands no entities.

Source: OFX 2.3 specification, chapters 2, 11 and 13 (https://financialdataexchange.org/ofx).
The one maintained Python library (ofxtools) is under the GPL, which an MIT package should not depend on.
"""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from html import unescape

from examples.bank_demo.fields import References, clip, decode_text, parse_amount
from examples.bank_demo.statement import Account, Statement, StatementError, Transaction

DEPTH_MAX = 50
_TAG = re.compile(r"<(/?)([A-Za-z0-9_.]+)(?:\s[^<>]*)?(/?)>([^<]*)")
_CHARSETS = {"1252": "cp1252", "ISO-8859-1": "latin-1", "8859-1": "latin-1", "NONE": "cp1252", "UNICODE": "utf-8"}


class Element:
    """A tag with its text and children."""

    __slots__ = ("children", "tag", "text")

    def __init__(self, tag: str, text: str = "") -> None:
        self.tag = tag
        self.text = text
        self.children: list[Element] = []

    def find(self, tag: str) -> "Element | None":
        """The first descendant with that tag."""
        return next(self.find_all(tag), None)

    def find_all(self, *tags: str) -> "Iterator[Element]":
        """Every descendant with one of the tags, in order."""
        for child in self.children:
            if child.tag in tags:
                yield child
            yield from child.find_all(*tags)

    def value(self, *tags: str) -> str:
        """The text of the first descendant that has one of the tags and is not empty."""
        return next((found.text for found in self.find_all(*tags) if found.text), "")


def read_ofx(content: bytes) -> Statement:
    """Read all bank, card and investment statements of a file.

    Raises:
        StatementError: it is no OFX, or a value in it is wrong; the message says which.
    """
    root = parse_tree(_text(content))
    accounts = tuple(_account(found) for found in root.find_all("STMTRS", "CCSTMTRS", "INVSTMTRS"))
    if not accounts:
        message = root.value("MESSAGE")
        raise StatementError(f"The OFX file holds no statement{f': the bank says {message!r}' if message else ''}.")
    bank = root.find("FI")
    return Statement(bank=clip(bank.value("ORG") if bank else "") or "Bank", file_format="ofx", accounts=accounts)


def parse_tree(text: str) -> Element:
    """The elements below ``<OFX>``.

    Raises:
        StatementError: there is no ``<OFX>``, it is cut short, or it nests too deeply.
    """
    start = text.upper().find("<OFX>")
    if start < 0:
        raise StatementError("This is no OFX file: there is no <OFX> in it.")
    root = Element("")
    open_: list[Element] = [root]
    for closing, tag, alone, value in _TAG.findall(text, start):
        tag = tag.upper()
        if closing:
            _close(open_, tag)
            continue
        element = Element(tag, unescape(value).strip())
        open_[-1].children.append(element)
        if not element.text and not alone:
            open_.append(element)
        if len(open_) > DEPTH_MAX:
            raise StatementError(f"The OFX file nests deeper than {DEPTH_MAX} levels.")
    if any(element.tag == "OFX" for element in open_):
        raise StatementError("The OFX file is cut short: </OFX> is missing.")
    return root


def _close(open_: list[Element], tag: str) -> None:
    """Close ``tag``. What was opened inside it and is still open was an empty leaf: its siblings move up."""
    if tag not in [element.tag for element in open_]:
        return  # the end of a leaf that had a value
    while True:
        element = open_.pop()
        if element.tag == tag:
            return
        open_[-1].children += element.children
        element.children = []


def _account(found: Element) -> Account:
    source = found.find("BANKACCTFROM") or found.find("CCACCTFROM") or found.find("INVACCTFROM")
    number = source.value("ACCTID") if source else ""
    if not number:
        raise StatementError("The OFX file has a statement without an account number (ACCTID).")
    kind = {"CCSTMTRS": "Credit card", "INVSTMTRS": "Brokerage"}.get(found.tag)
    name = kind or (source.value("ACCTTYPE") if source else "").replace("MONEYMRKT", "Money market").capitalize()
    currency = found.value("CURDEF").upper()
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise StatementError(f"Account {number[-4:]}: the currency (CURDEF) {currency[:10]!r} is no ISO 4217 code.")
    positions = found.find("INVPOSLIST")
    references = References()
    return Account(
        number=clip(number),
        name=f"{name or 'Account'} ····{number[-4:]}",
        currency=currency,
        transactions=tuple(_transaction(row, number, references) for row in found.find_all("STMTTRN")),
        closing_balance=_closing_balance(found, number),
        holdings_count=len(positions.children) if positions else None,
    )


def _closing_balance(found: Element, number: str) -> Decimal | None:
    ledger = found.find("LEDGERBAL")
    text = ledger.value("BALAMT") if ledger else found.value("AVAILCASH")
    return parse_amount(text, f"Account {number[-4:]}, closing balance") if text else None


def _transaction(row: Element, number: str, references: References) -> Transaction:
    fitid = row.value("FITID")
    where = f"Account {number[-4:]}, transaction {fitid[:40] or 'without FITID'}"
    amount = parse_amount(row.value("TRNAMT"), where)
    posted_on = _date(row.value("DTPOSTED"), where)
    description = clip(" ".join(part for part in (row.value("NAME", "PAYEE"), row.value("MEMO")) if part))
    return Transaction(
        reference=clip(fitid) or references.make(posted_on.isoformat(), str(amount), description),
        posted_on=posted_on,
        amount=amount,
        description=description or row.value("TRNTYPE").capitalize() or "Transaction",
    )


def _date(text: str, where: str) -> date:
    """The day of an OFX date-time (``YYYYMMDD[HHMMSS[.XXX]][[offset:zone]]``), as the bank wrote it."""
    match = re.match(r"(\d{4})(\d{2})(\d{2})", text)
    try:
        return date(*map(int, match.groups())) if match else date.fromisoformat(text[:10])
    except ValueError:
        raise StatementError(f"{where}: {text[:40]!r} is no date.") from None


def _text(content: bytes) -> str:
    """The file's text, in the encoding that its header names."""
    head = content[:1024].decode("latin-1")
    xml = re.search(r"<\?xml[^>]*encoding=[\"']([\w.-]+)", head)
    charset = re.search(r"CHARSET:\s*([\w-]+)", head)
    name = xml.group(1) if xml else _CHARSETS.get(charset.group(1).upper(), "") if charset else ""
    if "ENCODING:UTF-8" in head.upper().replace(" ", ""):
        name = "utf-8"
    try:
        text = content.decode(name or "utf-8-sig")
    except (UnicodeDecodeError, LookupError):
        text = decode_text(content)
    return re.sub(r"<!\[CDATA\[(.*?)\]\]>", lambda match: match.group(1).replace("<", "&lt;"), text, flags=re.DOTALL)
