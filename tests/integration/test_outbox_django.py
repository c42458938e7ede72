"""Events that are committed with Django's own transactions: what is committed is sent, once; the rest is never seen."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from threading import Event

import pytest
import redis
from django.core.signals import request_started
from django.db import IntegrityError, OperationalError, ProgrammingError, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from bridge import Emitter, EventRefusedError, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.contrib.django import NotifyOfOutbox, aemit_on_commit, drain, emit_on_commit
from bridge.contrib.django.checks import check_outbox
from bridge.contrib.django.database import DjangoDatabase
from bridge.model.errors import OutboxError, SettingsError
from bridge.producer.outbox.drain import Drain
from bridge.testing import capture
from tests.support.databases import KINDS, Database
from tests.support.django_databases import aliased
from tests.support.needs import needs_package
from tests.support.outbox import Outbox, imported, row_of
from tests.support.producers import numbers, without_emitter
from tests.support.waiting import WAIT_S, wait_until

CHARACTER_SETS = (
    "SELECT character_set_name FROM information_schema.columns"
    " WHERE table_name = 'bridge_outbox' AND table_schema = DATABASE() ORDER BY ordinal_position"
)


@pytest.fixture
def emitter(settings: Settings) -> Iterator[Emitter]:
    emitter = Emitter(settings, REGISTRY)
    yield emitter
    emitter.close()


@pytest.fixture(params=KINDS)
def outbox(request: pytest.FixtureRequest, module_database: Callable[[str], Database]) -> Iterator[Outbox]:
    outbox = Outbox(module_database(request.param))
    yield outbox
    outbox.close()


@pytest.fixture
def alias(outbox: Outbox, emitter: Emitter) -> Iterator[str]:
    with aliased(outbox.database) as alias:
        yield alias
        emitter.close()


def test_what_is_committed_is_sent_in_order_and_what_is_rolled_back_is_never_seen(
    outbox: Outbox, alias: str, emitter: Emitter, redis_client: redis.Redis
) -> None:
    with transaction.atomic(using=alias):
        for number in (1, 2):
            assert emit_on_commit(imported(number), alias, emitter=emitter)
        assert not redis_client.exists("bridge.import")
    with pytest.raises(LookupError), transaction.atomic(using=alias):
        emit_on_commit(imported(3), alias, emitter=emitter)
        raise LookupError
    with transaction.atomic(using=alias):
        with pytest.raises(LookupError), transaction.atomic(using=alias):
            emit_on_commit(imported(4), alias, emitter=emitter)
            raise LookupError
        with transaction.atomic(using=alias):
            emit_on_commit(imported(5), alias, emitter=emitter)
    emit_on_commit(imported(6), alias, emitter=emitter)  # in no transaction
    wait_until(lambda: outbox.column("id") == [], what="the commits woke the drain")
    assert numbers(redis_client) == [1, 2, 5, 6]


def test_one_insert_is_all_that_a_transaction_pays(outbox: Outbox, alias: str, emitter: Emitter) -> None:
    drain(alias, emitter=emitter)
    with transaction.atomic(using=alias), CaptureQueriesContext(connections[alias]) as queries:
        emit_on_commit(imported(1), alias, emitter=emitter)
    assert [query["sql"].split()[0] for query in queries if "SAVEPOINT" not in query["sql"]] == ["INSERT"]


def test_an_error_of_the_insert_is_the_transactions_own(outbox: Outbox, alias: str, emitter: Emitter) -> None:
    twice = imported(1)
    outbox.insert(row_of(twice, task="bridge.Unknown"))
    with transaction.atomic(using=alias):
        with pytest.raises(IntegrityError):
            emit_on_commit(twice, alias, emitter=emitter)
        assert connections[alias].needs_rollback, "who catches it commits nothing without the event"
    outbox.execute("DROP TABLE bridge_outbox")
    with pytest.raises((OperationalError, ProgrammingError)) as caught, transaction.atomic(using=alias):
        emit_on_commit(twice, alias, emitter=emitter)
    assert "has no table bridge_outbox: make it, with `python manage.py migrate bridge" in caught.value.__notes__[0]


def test_sqlite_that_lets_no_reader_write_is_told_with_the_cure(
    module_database: Callable[[str], Database], emitter: Emitter
) -> None:
    outbox = Outbox(module_database("sqlite"))
    with aliased(outbox.database) as alias, closing(sqlite3.connect(connections.settings[alias]["NAME"])) as other:
        with pytest.raises(OperationalError, match="locked") as caught, transaction.atomic(using=alias):
            connections[alias].cursor().execute("SELECT COUNT(*) FROM bridge_outbox").fetchone()
            other.execute("BEGIN IMMEDIATE")  # as the drain, meanwhile
            emit_on_commit(imported(1), alias, emitter=emitter)
        emitter.close()
    outbox.close()
    assert "SQLite refuses to write in a transaction that began with reading" in caught.value.__notes__[0]
    assert '"transaction_mode": "IMMEDIATE" to the OPTIONS of DATABASES' in caught.value.__notes__[0]


def test_a_refused_event_leaves_the_transaction_alone(
    outbox: Outbox, alias: str, emitter: Emitter, settings: Settings
) -> None:
    with transaction.atomic(using=alias):
        assert not emit_on_commit(object(), alias, emitter=emitter)
        assert not emit_on_commit(imported("x" * 100_000), alias, emitter=emitter)
    assert (emitter.counts["unmapped"], emitter.counts["refused"]) == (1, 1)
    strict = Emitter(settings, REGISTRY, strict=True)
    with pytest.raises(EventRefusedError, match="no mapping"):
        emit_on_commit(object(), alias, emitter=strict)
    strict.close()


def test_no_commit_suffers_from_its_drain(
    outbox: Outbox, alias: str, emitter: Emitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Drain) -> None:
        raise LookupError

    monkeypatch.setattr(Drain, "wake", broken)
    told: list[int] = []
    with transaction.atomic(using=alias):
        emit_on_commit(imported(1), alias, emitter=emitter)
        transaction.on_commit(lambda: told.append(1), using=alias)
    assert told == [1]


def test_without_an_emitter_nothing_is_committed_without_its_event(
    outbox: Outbox, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_emitter(monkeypatch)
    with transaction.atomic(using=alias):
        with pytest.raises(SettingsError, match="BRIDGE_BROKER_URL must"):
            emit_on_commit(imported(1), alias)
        assert connections[alias].needs_rollback, "who catches it commits nothing"
    with pytest.raises(SettingsError, match="BRIDGE_BROKER_URL must"), capture():
        emit_on_commit(imported(1), alias)


def test_a_transaction_of_another_database_than_the_events_is_told(
    outbox: Outbox, alias: str, emitter: Emitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with aliased(outbox.database) as other:
        monkeypatch.setattr("bridge.contrib.django.outbox.router.db_for_write", lambda model: other)
        with transaction.atomic(using=alias), pytest.raises(TransactionManagementError, match=f"using='{alias}'"):
            emit_on_commit(imported(1), emitter=emitter)
        # As ATOMIC_REQUESTS has one around each view.
        with transaction.atomic(using=other), transaction.atomic(using=alias):
            with pytest.raises(TransactionManagementError, match=f"using='{alias}', or using='{other}'"):
                emit_on_commit(imported(1), emitter=emitter)
            assert emit_on_commit(imported(2), other, emitter=emitter)
        with transaction.atomic(using=other):
            assert emit_on_commit(imported(1), emitter=emitter)
    assert emitter.flush(WAIT_S)
    assert outbox.column("id") == []


def test_a_coroutine_awaits_it(outbox: Outbox, alias: str, emitter: Emitter, redis_client: redis.Redis) -> None:
    assert asyncio.run(aemit_on_commit(imported(1), alias, emitter=emitter))
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [1]


def test_autocommit_that_is_off_is_left_to_whoever_commits(
    outbox: Outbox, alias: str, emitter: Emitter, redis_client: redis.Redis
) -> None:
    transaction.set_autocommit(False, using=alias)
    emit_on_commit(imported(1), alias, emitter=emitter)
    transaction.rollback(using=alias)
    emit_on_commit(imported(2), alias, emitter=emitter)
    transaction.commit(using=alias)
    transaction.set_autocommit(True, using=alias)
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_migration_makes_the_table_that_create_statements_makes(
    module_database: Callable[[str], Database], kind: str
) -> None:
    outbox = Outbox(module_database(kind))
    if kind == "mariadb":
        outbox.execute("ALTER DATABASE CHARACTER SET latin1")  # as its default was for long
    with aliased(outbox.database) as alias:
        written = _description(alias)
    outbox.execute("DROP TABLE bridge_outbox")
    with aliased(outbox.database, migrated=True) as alias:
        migrated = _description(alias)
    outbox.close()
    assert migrated == written


def _description(alias: str) -> object:
    """What Django finds of the table; of SQLite's it reads less."""
    connection = connections[alias]
    told = 2 if connection.vendor == "sqlite" else 6
    with connection.cursor() as cursor:
        found = connection.introspection
        table = found.get_table_description(cursor, "bridge_outbox")
        columns = [(one[0], str(one[1]).lower(), *one[2:told], one.null_ok) for one in table]
        constraints = found.get_constraints(cursor, "bridge_outbox").values()
        indexes = {
            (tuple(one["columns"]), one["primary_key"]) for one in constraints if not (one["unique"] and told == 2)
        }
        if connection.vendor == "mysql":
            cursor.execute(CHARACTER_SETS)
            columns += cursor.fetchall()
        return columns, indexes, found.get_primary_key_column(cursor, "bridge_outbox")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"NAME": ":memory:"}, "is in the memory of a connection, where no other sees it: name a file."),
        ({"OPTIONS": {"no_such_option": 1}}, "cannot be used: TypeError: "),
    ],
)
def test_a_database_that_cannot_be_drained_is_a_sentence(
    module_database: Callable[[str], Database], emitter: Emitter, caplog, changes: dict[str, object], sentence: str
) -> None:
    with caplog.at_level(logging.ERROR), aliased(module_database("sqlite"), **changes) as alias:
        drain(alias, emitter=emitter)
        assert not emitter.flush(WAIT_S)
        emitter.close()
    assert sentence in caplog.text


def test_a_pool_of_the_application_lends_the_drain_nothing(
    module_database: Callable[[str], Database], emitter: Emitter, redis_client: redis.Redis
) -> None:
    needs_package("psycopg_pool")
    outbox = Outbox(module_database("postgresql"))
    with aliased(outbox.database, OPTIONS={"pool": {"min_size": 1, "max_size": 1, "timeout": 5}}) as alias:
        with transaction.atomic(using=alias):
            emit_on_commit(imported(1), alias, emitter=emitter)
        with transaction.atomic(using=alias):  # holds the pool's only connection
            assert emitter.flush(WAIT_S)
        emitter.close()
        connections[alias].close_pool()
    outbox.close()
    assert numbers(redis_client) == [1]


def test_a_table_that_cannot_be_written_to_is_told_by_a_check(module_database: Callable[[str], Database]) -> None:
    for kind in KINDS:
        outbox = Outbox(module_database(kind))
        with aliased(outbox.database) as alias:
            assert check_outbox(databases=[alias]) == []
            outbox.execute("DROP TABLE bridge_outbox")
            (missing,) = check_outbox(databases=[alias])
            assert (missing.id, missing.hint) == ("bridge.W004", f"manage.py migrate bridge --database={alias}")
            outbox.execute("CREATE TABLE bridge_outbox (id BIGINT PRIMARY KEY)")
            (other,) = check_outbox(databases=[alias])
            assert other.id == "bridge.E005"
            assert "has another table bridge_outbox: a column is missing" in other.msg
        outbox.close()
    with aliased(Database("postgresql", "nobody@127.0.0.1:1/nothing")) as alias:
        (away,) = check_outbox(databases=[alias])
        assert away.id == "bridge.E005"
    assert check_outbox() == [], "no database was named"


def test_the_trigger_of_notify_is_an_operation_of_a_migration(module_database: Callable[[str], Database]) -> None:
    for kind in KINDS:
        outbox = Outbox(module_database(kind))
        with aliased(outbox.database) as alias:
            operation = NotifyOfOutbox()
            for change in (operation.database_forwards, operation.database_backwards, operation.database_forwards):
                with connections[alias].schema_editor() as editor:
                    change("bridge", editor, None, None)
            heard = DjangoDatabase(alias).notices(stopping := Event())
            if kind != "postgresql":
                with pytest.raises(OutboxError, match="BRIDGE_OUTBOX_NOTIFY needs PostgreSQL with psycopg 3"):
                    next(heard)
                continue
            next(heard)
            outbox.insert(row_of(imported(1)))
            next(heard)
            stopping.set()
            assert list(heard) == []
        outbox.close()


def test_a_process_sends_what_another_left_from_its_first_request_on(
    outbox: Outbox, alias: str, emitter: Emitter, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    monkeypatch.setattr("bridge.contrib.django.outbox.process_emitter", lambda: emitter)
    outbox.insert(row_of(imported(1)))
    monkeypatch.setattr("bridge.contrib.django.outbox.router.db_for_write", lambda model: 1 / 0)
    with caplog.at_level(logging.ERROR):
        request_started.send(sender=None)  # no request suffers from a router that fails
    assert "bridge.outbox.unusable division by zero" in caplog.text
    monkeypatch.setattr("bridge.contrib.django.outbox.router.db_for_write", lambda model: alias)
    with capture():
        request_started.send(sender=None)
    assert outbox.column("claimed_by") == [None]
    request_started.send(sender=None)
    wait_until(lambda: outbox.column("id") == [], what="it is drained")
    assert numbers(redis_client) == [1]
