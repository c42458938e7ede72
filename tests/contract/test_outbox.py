"""What an outbox's table keeps, on each database and by each kind of driver: whose rows are whose, in which order."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import event, text

from bridge.model.errors import OutboxError
from bridge.producer.outbox.row import SCHEMA_VERSION, RowState
from bridge.producer.outbox.table import LEASE_S, OutboxTable
from bridge.producer.outbox.trouble import BusyError
from tests.support.databases import KINDS, Database
from tests.support.outbox import REMEMBERED_S, Outbox, imported, row_of


@pytest.fixture(params=KINDS)
def outbox(request: pytest.FixtureRequest, module_database: Callable[[str], Database]) -> Iterator[Outbox]:
    outbox = Outbox(module_database(request.param))
    yield outbox
    outbox.close()


@pytest.fixture(params=["sync", "async", "django"])
def table(request: pytest.FixtureRequest, outbox: Outbox) -> OutboxTable:
    return outbox.table("us", by=request.param)


def numbers(table: OutboxTable, limit: int = 100, found: list[str] | None = None) -> list[str]:
    """Numbers of what is claimed and then sent, round by round."""
    found = [] if found is None else found
    more = True
    while more:
        claim = table.claim(limit)
        more = claim.more
        found += [
            event.envelope.partition(b'"file_name":"')[2].partition(b".csv")[0].decode() for event in claim.events
        ]
        table.remove(claim)
    return found


def test_rows_are_claimed_oldest_first_and_gone_when_they_were_removed(outbox: Outbox, table: OutboxTable) -> None:
    outbox.insert(*(row_of(imported(number)) for number in range(25)))
    assert numbers(table, limit=10) == [str(number) for number in range(25)]
    assert outbox.column("id") == []


def test_what_is_claimed_is_no_other_process_until_it_is_released(outbox: Outbox, table: OutboxTable) -> None:
    outbox.insert(row_of(imported(1)), row_of(imported(2)))
    claim = table.claim(1)
    assert len(claim.ids) == 1
    assert claim.more
    other = outbox.table("other")
    with pytest.raises(BusyError):
        other.claim(1)
    table.release(claim)
    assert numbers(other) == ["1", "2"]


def test_what_a_dead_process_claimed_is_anybodys_after_a_while(outbox: Outbox, table: OutboxTable) -> None:
    outbox.insert(row_of(imported(1)))
    outbox.table("dead").claim(1)
    outbox.age(LEASE_S + 1)
    assert numbers(table) == ["1"]


@pytest.mark.parametrize("since", ["the death of a process", "a take-over", "an answer that was lost"])
def test_what_may_have_been_sent_before_its_id_was_forgotten_is_set_aside(
    outbox: Outbox, table: OutboxTable, since: str
) -> None:
    outbox.insert(row_of(imported(1)))
    dead = outbox.table("dead")
    claim = dead.claim(1)
    if since == "a take-over":
        outbox.age(REMEMBERED_S / 2)
        outbox.table("heir").claim(1)
        outbox.age(REMEMBERED_S / 2 + 1)
    elif since == "an answer that was lost":
        dead.release(claim)
        outbox.age(REMEMBERED_S / 2)
        again = table.claim(1)
        table.release(again, undone=True)  # of this time alone
        outbox.age(REMEMBERED_S / 2 + 1)
    else:
        outbox.age(REMEMBERED_S + 1)
    outbox.insert(row_of(imported(2), created_ms=1))  # old, and not claimed: it was never sent
    assert table.claim(10).set_aside == 1
    assert outbox.column("state") == [RowState.UNSURE, RowState.WAITING]
    assert numbers(table) == ["2"]
    assert table.look(100).set_aside == 1


def test_what_the_broker_surely_did_not_take_is_sent_however_long_it_was_away(
    outbox: Outbox, table: OutboxTable
) -> None:
    outbox.insert(*(row_of(imported(number)) for number in range(2)))
    for _ in range(2):
        claim = table.claim(10)
        table.release(claim, undone=True)
        outbox.age(REMEMBERED_S * 2)
    other = outbox.table("o" * 40)  # as long as owners are
    again = other.claim(10)
    assert (again.ids, again.set_aside) == (claim.ids, 0)
    assert again.round.partition("@")[0] == claim.round.partition("@")[0], "it is sent as the same round"
    other.remove(again)
    outbox.insert(row_of(imported(3)))
    assert numbers(other) == ["3"]


@pytest.mark.parametrize("envelope", [b"", b"{", b"\xff", b"[" * 5000, b'{"specversion":"1.0"}', b"x" * 2**24 + b"x"])
def test_a_damaged_row_is_set_aside_and_holds_up_no_other(outbox: Outbox, envelope: bytes) -> None:
    table = outbox.table("us")
    outbox.insert(row_of(imported(1), envelope=envelope), row_of(imported(2)))
    assert numbers(table) == ["2"]
    assert outbox.column("state") == [RowState.DAMAGED]
    figures = table.look(100)
    assert (figures.waiting, figures.set_aside, figures.oldest_s) == (0, 1, 0.0)


def test_rows_of_another_catalog_or_a_newer_version_wait_for_who_knows_them(outbox: Outbox, table: OutboxTable) -> None:
    outbox.insert(
        row_of(imported(1), task="bridge.Unknown"),
        row_of(imported(2), schema_version=SCHEMA_VERSION + 1),
        row_of(imported(3)),
    )
    assert numbers(table) == ["3"]
    figures = table.look(100)
    assert (figures.waiting, figures.foreign, figures.set_aside) == (2, 2, 0)
    assert figures.oldest_s > 0


def test_a_transaction_that_commits_late_with_a_low_number_is_found(outbox: Outbox, table: OutboxTable) -> None:
    with _uncommitted(outbox, row_of(imported(1))) as commit:
        outbox.insert(row_of(imported(2)))
        assert numbers(table) == ["2"], "what is not committed holds up nothing"
        commit()
    assert numbers(table) == ["1"]


def test_no_statement_waits_for_a_row_that_is_not_committed(outbox: Outbox) -> None:
    if outbox.database.kind == "mariadb":
        event.listen(
            outbox.engine, "connect", lambda raw, _: raw.cursor().execute("SET SESSION innodb_lock_wait_timeout = 1")
        )
    outbox.engine.dispose()
    table = outbox.table("us")
    outbox.insert(*(row_of(imported(number)) for number in range(98)), row_of(imported(98), envelope=b"{"))
    with _uncommitted(outbox, row_of(imported(99))):
        table.release(table.claim(100))
        assert numbers(table) == [str(number) for number in range(98)]
    assert outbox.column("state") == [RowState.DAMAGED]


def test_a_round_holds_no_more_bytes_than_are_read_at_once(outbox: Outbox, table: OutboxTable, monkeypatch) -> None:
    monkeypatch.setattr("bridge.producer.outbox.table.SPOOL_ROUND_BYTES_MAX", 900)
    outbox.insert(*(row_of(imported(number)) for number in range(9)))
    claim = table.claim(100)
    assert 1 <= len(claim.ids) < 9
    assert claim.more
    assert len([owner for owner in outbox.column("claimed_by") if owner]) == len(claim.ids)


def test_a_round_that_was_refused_is_sent_again_with_the_same_events_by_whoever_comes(
    outbox: Outbox, table: OutboxTable
) -> None:
    outbox.insert(*(row_of(imported(number)) for number in (2, 3)))
    refused = table.claim(10)
    table.release(refused)
    first = row_of(imported(1))
    outbox.insert(row_of(imported(4)), first)
    lowest = "UPDATE bridge_outbox SET id = -1 WHERE event_id = '%s'"
    outbox.execute(lowest % first["event_id"])  # as a transaction that commits late
    other = outbox.table("other")
    late = other.claim(10)
    assert len(late.ids) == 1
    assert late.more
    other.remove(late)
    again = other.claim(10)
    assert (again.round, again.ids, again.events) == (refused.round, refused.ids, refused.events)
    with pytest.raises(BusyError):
        table.claim(10)
    other.remove(again)
    assert numbers(table) == ["4"]


def test_of_processes_that_claim_at_once_one_has_the_rows(outbox: Outbox) -> None:
    outbox.insert(*(row_of(imported(number)) for number in range(300)))

    def send_all(owner: str) -> list[str]:
        table = outbox.table(owner)
        sent: list[str] = []
        while outbox.column("id"):
            with suppress(BusyError):
                numbers(table, 20, sent)
        table.close()
        return sent

    with ThreadPoolExecutor(4) as pool:
        sent = list(pool.map(send_all, [uuid4().hex for _ in range(4)]))
    assert sorted(map(int, chain.from_iterable(sent))) == list(range(300))
    assert all(part == sorted(part, key=int) for part in sent)


def test_a_database_without_the_table_or_with_an_older_one_is_told_in_a_sentence(make_database) -> None:
    for kind in KINDS:
        outbox = Outbox(make_database(kind), make=False)
        made = dict.fromkeys(("sync", "async"), "sse-bridge outbox --ddl") | {"django": r"manage\.py migrate bridge"}
        for by, maker in made.items():
            with pytest.raises(OutboxError, match=f"has no table bridge_outbox: make it, .*{maker}"):
                outbox.table("us", by=by).check()
        outbox.execute("CREATE TABLE bridge_outbox (id BIGINT PRIMARY KEY)")
        for by in ("sync", "async", "django"):
            with pytest.raises(OutboxError, match=r"another table bridge_outbox: a column is missing"):
                outbox.table("us", by=by).claim(1)
        outbox.close()


def test_a_database_that_takes_no_writes_is_told_in_a_sentence(outbox: Outbox) -> None:
    outbox.insert(row_of(imported(1)))
    table = outbox.table("us")
    with _read_only(outbox), pytest.raises(OutboxError, match="takes no writes: it is a replica, or read only"):
        table.claim(1)
    assert numbers(table) == ["1"], "it is there again when it does"


@contextmanager
def _uncommitted(outbox: Outbox, row: dict[str, object]) -> Iterator[Callable[[], None]]:
    """A transaction that has inserted a row; yields its commit, without which it is rolled back."""
    if outbox.database.kind == "sqlite":
        pytest.skip("one transaction writes at a time there")
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    with outbox.engine.connect() as connection:
        connection.execute(text(f"INSERT INTO bridge_outbox ({names}) VALUES ({values})"), row)
        yield connection.commit


@contextmanager
def _read_only(outbox: Outbox) -> Iterator[None]:
    """As a replica is."""
    kind, name = outbox.database.kind, outbox.database.address.rpartition("/")[2]
    outbox.engine.dispose()
    if kind == "sqlite":
        path = Path("/" + outbox.database.address.lstrip("/"))
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        chosen = event.listens_for(outbox.engine, "connect")(lambda raw, _: raw.execute("PRAGMA query_only = ON"))
        yield
        event.remove(outbox.engine, "connect", chosen)
    elif kind == "postgresql":
        outbox.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        yield
        with outbox.engine.connect() as connection:
            connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"))
            connection.commit()
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = off"))
            connection.commit()
    else:
        chosen = event.listens_for(outbox.engine, "connect")(
            lambda raw, _: raw.cursor().execute("SET SESSION TRANSACTION READ ONLY")
        )
        yield
        event.remove(outbox.engine, "connect", chosen)
    outbox.engine.dispose()
