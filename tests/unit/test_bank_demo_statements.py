"""Bank statements in the shapes that banks write them, and in shapes that must be refused in words."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.bank_demo.fields import parse_amount
from examples.bank_demo.reading import file_format, read_statement
from examples.bank_demo.statement import Statement, StatementError

SAMPLES = Path(__file__).resolve().parents[2] / "examples" / "bank_demo" / "samples"

XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<?OFX OFXHEADER="200" VERSION="211" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>
<OFX><SIGNONMSGSRSV1><SONRS><FI><ORG>Banque &amp; Fils</ORG></FI></SONRS></SIGNONMSGSRSV1>
<BANKMSGSRSV1><STMTTRNRS><STMTRS><CURDEF>EUR</CURDEF>
<BANKACCTFROM><ACCTID>FR7612</ACCTID><ACCTTYPE>CHECKING</ACCTTYPE></BANKACCTFROM>
<BANKTRANLIST><STMTTRN><TRNTYPE>DEBIT</TRNTYPE><DTPOSTED>20260301120000.000[+1:CET]</DTPOSTED><TRNAMT>-12,50</TRNAMT>
<FITID>a1</FITID><NAME>Caf\xc3\xa9 &lt;bleu&gt;</NAME><MEMO></MEMO></STMTTRN></BANKTRANLIST>
<LEDGERBAL><BALAMT>87.50</BALAMT><DTASOF>20260302</DTASOF></LEDGERBAL></STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"""

SGML = b"""OFXHEADER:100
CHARSET:1252

<OFX><CREDITCARDMSGSRSV1><CCSTMTTRNRS><CCSTMTRS><CURDEF>USD<CCACCTFROM><ACCTID>4485</CCACCTFROM>
<BANKTRANLIST><STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20260301<TRNAMT>-5<FITID>x<NAME>Caf\xe9<MEMO></STMTTRN>
<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20260302<TRNAMT>-1.25<FITID>y<NAME>Bus</STMTTRN></BANKTRANLIST>
</CCSTMTRS></CCSTMTTRNRS></CREDITCARDMSGSRSV1></OFX>"""


def only_account(statement: Statement):
    (account,) = statement.accounts
    return account


@pytest.mark.parametrize(("name", "accounts"), [("statement.ofx", 4), ("statement.csv", 1)])
def test_the_samples_are_read_whole(name: str, accounts: int) -> None:
    content = (SAMPLES / name).read_bytes()
    statement = read_statement(name, content)
    assert len(statement.accounts) == accounts
    for account in statement.accounts:
        assert account.closing_balance == account.opening_balance + sum(row.amount for row in account.transactions)
        assert len({row.reference for row in account.transactions}) == len(account.transactions)


def test_the_sample_has_every_transaction_that_the_file_has() -> None:
    content = (SAMPLES / "statement.ofx").read_bytes()
    assert read_statement("statement.ofx", content).transaction_count == content.count(b"<STMTTRN>") > 150


def test_ofx_2_is_read() -> None:
    statement = read_statement("export", XML)
    account = only_account(statement)
    assert statement.bank == "Banque & Fils"
    assert account.currency == "EUR"
    assert account.opening_balance == Decimal("100.00")
    (row,) = account.transactions
    assert (row.posted_on, row.amount, row.description) == (date(2026, 3, 1), Decimal("-12.50"), "Café <bleu>")


def test_ofx_1_is_read_with_its_open_and_empty_leaves() -> None:
    account = only_account(read_statement("export.qfx", SGML))
    assert [(row.reference, row.amount, row.description) for row in account.transactions] == [
        ("x", Decimal(-5), "Café"),
        ("y", Decimal("-1.25"), "Bus"),
    ]


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("Date,Description,Amount\n2026-03-01,Tea,-2.50\n", ["-2.50"]),
        ("Datum;Verwendungszweck;Betrag\n01.03.2026;Tee;-1.234,50\n", ["-1234.50"]),
        ("Transaction Date,Details,Debit,Credit\n03/15/2026,Tea,2.50,\n03/16/2026,Pay,,10\n", ["-2.50", "10"]),
        ("My bank\n\nDate\tName\tAmount\n20260301\tTea\t($2.50)\n", ["-2.50"]),
        ('"Date","Payee","Amount"\n"2026/3/1","Tea, green","-$1,002.50"\n', ["-1002.50"]),
    ],
)
def test_csv_is_read_as_banks_write_it(text: str, amounts: list[str]) -> None:
    account = only_account(read_statement("may.csv", text.encode("utf-8-sig")))
    assert [row.amount for row in account.transactions] == [Decimal(amount) for amount in amounts]
    assert account.transactions[0].posted_on.year == 2026


def test_dates_are_read_by_the_evidence_in_the_whole_file() -> None:
    day_first = "Date,Amount\n03/04/2026,1\n25/04/2026,1\n"
    month_first = "Date,Amount\n03/04/2026,1\n04/25/2026,1\n"
    assert only_account(read_statement("a.csv", day_first.encode())).transactions[0].posted_on == date(2026, 4, 3)
    assert only_account(read_statement("a.csv", month_first.encode())).transactions[0].posted_on == date(2026, 3, 4)


def test_the_same_line_twice_counts_as_two_and_keeps_its_references() -> None:
    text = b"Date,Description,Amount\n2026-03-01,Tea,-2\n2026-03-01,Tea,-2\n"
    first, second = (only_account(read_statement("a.csv", text)).transactions for _ in range(2))
    assert len({row.reference for row in first}) == 2
    assert first == second


def test_a_file_with_the_newest_line_first_is_turned_around() -> None:
    text = b"Date,Amount,Balance\n2026-03-02,-1,97\n2026-03-01,-2,98\n"
    account = only_account(read_statement("a.csv", text))
    assert [row.posted_on.day for row in account.transactions] == [1, 2]
    assert account.opening_balance == 100


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b" \n ", "empty"),
        ("a.csv", b"PK\x03\x04\x00", "not text"),
        ("a.csv", b"hello\nworld", "No header line"),
        ("a.csv", b"Date,Amount\n", "no transactions"),
        ("a.csv", b"Date,Amount\n2026-03-01,lots\n", "Line 2: 'lots' is no amount"),
        ("a.csv", b"Date,Amount\n2026-03-01,NaN\n", "no amount of money"),
        ("a.csv", b"Date,Amount\n2026-03-01,1e999\n", "no amount of money"),
        ("a.csv", b"Date,Amount\n2026-02-30,1\n", "is no date"),
        ("a.csv", b"Date,Amount\n03/04/2026,1\n", "nothing in the file tells"),
        ("a.csv", b"Date,Amount,Currency\n2026-03-01,1,dollars\n", "ISO 4217"),
        ("a.csv", b"Date,Debit,Credit\n2026-03-01,,\n", "has no amount"),
        ("a.ofx", b"Date,Amount\n", "no <OFX>"),
        ("a.ofx", XML[:-100], "cut short"),
        ("a.ofx", XML.replace(b"<CURDEF>EUR", b"<CURDEF>???"), "ISO 4217"),
        ("a.ofx", XML.replace(b"FR7612", b""), "account number"),
        ("a.ofx", XML.replace(b"-12,50", b"cheap"), "transaction a1"),
        ("a.ofx", XML.replace(b"20260301120000", b"20261399"), "is no date"),
        ("a.ofx", b"<OFX>" + b"<A>" * 100 + b"</OFX>", "nests deeper"),
        ("a.ofx", b"<OFX><STATUS><CODE>15500<MESSAGE>Signon invalid</STATUS></OFX>", "Signon invalid"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_words(name: str, content: bytes, said: str) -> None:
    with pytest.raises(StatementError, match=said):
        read_statement(name, content)


def test_entities_are_not_expanded() -> None:
    bomb = XML.replace(b"<OFX>", b'<!DOCTYPE l [<!ENTITY l "lol">]><OFX>').replace(b"&lt;bleu&gt;", b"&l;")
    assert "&l;" in only_account(read_statement("a.ofx", bomb)).transactions[0].description


@given(st.binary(max_size=600), st.sampled_from(["a.csv", "a.ofx"]))
def test_any_bytes_are_a_statement_or_are_refused(content: bytes, name: str) -> None:
    for given_ in (content, XML.replace(b"FR7612", content), b"Date,Amount\n" + content):
        try:
            read_statement(name, given_)
        except StatementError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1,234.56", "1234.56"), ("1.234,56", "1234.56"), ("1'234.56", "1234.56"), ("1,234", "1234"), ("0,5", "0.5"),
     ("(5.00)", "-5.00"), ("\u22125", "-5"), ("+5", "5"), ("€ 5", "5"), ("1.234.567", "1234567")],
)  # fmt: skip
def test_amounts_are_read_in_the_ways_they_are_written(text: str, amount: str) -> None:
    assert parse_amount(text, "here") == Decimal(amount)


def test_the_format_is_known_by_the_content() -> None:
    assert file_format("export.txt", SGML) == "ofx"
    assert file_format("export.qfx", b"") == "ofx"
    assert file_format("export.txt", b"Date,Amount") == "csv"
