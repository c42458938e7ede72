"""Importing a statement: what ends up in the ledger, what is emitted, and that nothing is entered twice."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from uuid import UUID

import pytest

from bridge.catalogs.finance import (
    REGISTRY,
    AccountBalanceUpdated,
    FileImportAttempted,
    FileImportFailed,
    FileImportProgressed,
    FileImportSucceeded,
    TransactionSyncSucceeded,
)
from bridge.model.events import DomainEvent
from examples.bank_demo.importer import InterruptedImportError, StatementImport
from examples.bank_demo.ledger import JOBS_WAITING_MAX, Ledger

USER = UUID("0190f0a1-0000-7000-8000-000000000001")
SAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bank_demo" / "samples" / "statement.ofx"


class Service:
    """An import with its ledger, and everything that it emitted."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self.events: list[DomainEvent] = []
        self.stop_after: int | None = None

    def run(self, content: bytes, name: str = "may.ofx"):
        self.events.clear()
        return StatementImport(self.ledger, self.events.append, USER, self._pace).run(name, content)

    def _pace(self) -> None:
        if self.stop_after is not None:
            self.stop_after -= 1
            if self.stop_after < 0:
                raise InterruptedImportError

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path / "ledger.sqlite3")
    yield made
    made.ledger.close()


def test_balances_run_from_the_opening_to_the_closing_balance(service: Service) -> None:
    report = service.run(SAMPLE.read_bytes())
    assert report.error is None
    assert report.imported == 199
    for account in service.ledger.accounts():
        moves = [event for event in service.of(AccountBalanceUpdated) if str(event.account_id) == account["id"]]
        assert all(before.new_balance == after.previous_balance for before, after in pairwise(moves))
        assert moves[-1].new_balance == Decimal(account["balance"])
        assert str(moves[0].previous_balance) == account["opening"]


def test_the_events_tell_the_story_in_order(service: Service) -> None:
    service.run(SAMPLE.read_bytes())
    assert isinstance(service.events[0], FileImportAttempted)
    assert isinstance(service.events[-1], FileImportSucceeded)
    percents = [event.progress_percent for event in service.of(FileImportProgressed)]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
    assert sum(event.transaction_count for event in service.of(TransactionSyncSucceeded)) == 199
    assert {type(event) for event in service.events} <= set(REGISTRY.by_class)
    assert {event.user_id for event in service.events} == {USER}


def test_the_same_file_again_changes_nothing(service: Service) -> None:
    service.run(SAMPLE.read_bytes())
    before = service.ledger.accounts()
    report = service.run(SAMPLE.read_bytes())
    assert (report.imported, report.known) == (0, 199)
    assert service.of(AccountBalanceUpdated) == []
    assert service.ledger.accounts() == before


def test_an_interrupted_import_is_reported_and_goes_on_where_it_ended(service: Service) -> None:
    service.stop_after = 50
    report = service.run(SAMPLE.read_bytes())
    assert report.error
    assert "again" in report.error
    assert [type(event) for event in service.events][-1] is FileImportFailed
    service.stop_after = None
    report = service.run(SAMPLE.read_bytes())
    assert (report.imported, report.known) == (149, 50)


@pytest.mark.parametrize("content", [b"", b"hello", b"<OFX>", SAMPLE.read_bytes()[:5000]])
def test_a_bad_file_becomes_a_failed_import_with_a_reason(service: Service, content: bytes) -> None:
    report = service.run(content)
    assert Counter(type(event) for event in service.events) == {FileImportAttempted: 1, FileImportFailed: 1}
    assert service.events[-1].reason == report.error
    assert service.ledger.accounts() == []


def test_a_new_ledger_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    def open_together(number: int) -> int | None:
        start.wait()
        with closing(Ledger(tmp_path / f"ledger-{number}.sqlite3")) as ledger:
            return ledger.ask("session", "Chrome")

    start = Barrier(8)
    with ThreadPoolExecutor(8) as threads:
        jobs = [list(threads.map(open_together, [number] * 8)) for number in range(30)]
    assert all(sorted(each) == list(range(1, 9)) for each in jobs)


def test_a_ledger_that_refuses_is_a_failed_import(service: Service) -> None:
    service.ledger.close()
    report = service.run(SAMPLE.read_bytes())
    assert report.error
    assert report.error.startswith("The database refused")


def test_jobs_are_done_once_and_in_order_and_only_so_many_wait(service: Service) -> None:
    ledger = service.ledger
    assert ledger.ask_for_first_import("a.ofx") == 1
    assert ledger.ask_for_first_import("a.ofx") is None
    assert ledger.ask("session", "Chrome") == 2
    assert ledger.importing()
    assert [job.name for job in iter(ledger.take, None)] == ["a.ofx", "Chrome"]
    taken = [ledger.ask("import", "b.csv") for _ in range(JOBS_WAITING_MAX + 1)]
    assert taken[-1] is None
    assert None not in taken[:-1]
