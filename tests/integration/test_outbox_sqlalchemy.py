"""Events that are committed with a session's own changes: what is committed is sent, once; the rest is never seen."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import redis
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool, StaticPool

from bridge import Emitter, EventRefusedError, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.contrib.sqlalchemy import drain, emit
from bridge.model.errors import SettingsError
from tests.support.databases import KINDS, Database
from tests.support.outbox import Outbox, imported, row_of
from tests.support.producers import numbers, without_emitter
from tests.support.waiting import WAIT_S, wait_until


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


def test_what_is_committed_is_sent_in_order_and_what_is_rolled_back_is_never_seen(
    outbox: Outbox, emitter: Emitter, redis_client: redis.Redis
) -> None:
    with Session(outbox.engine) as session:
        for number in (1, 2):
            assert emit(imported(number), session=session, emitter=emitter)
        session.flush()
        assert not redis_client.exists("bridge.import")
        session.commit()
        emit(imported(3), session=session, emitter=emitter)
        session.flush()
        session.rollback()
        emit(imported(4), session=session, emitter=emitter)
        session.commit()
        emit(imported(5), session=session, emitter=emitter)  # and the session is closed
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [1, 2, 4]
    assert outbox.column("id") == []


def test_without_an_emitter_nothing_is_committed_without_its_event(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_emitter(monkeypatch)
    with Session(outbox.engine) as session, pytest.raises(SettingsError, match="BRIDGE_BROKER_URL must"):
        emit(imported(1), session=session)


def test_a_savepoint_that_is_rolled_back_takes_its_events_along(
    outbox: Outbox, emitter: Emitter, redis_client: redis.Redis
) -> None:
    with Session(outbox.engine) as session:
        emit(imported(1), session=session, emitter=emitter)
        kept = session.begin_nested()
        emit(imported(2), session=session, emitter=emitter)
        kept.commit()
        undone = session.begin_nested()
        emit(imported(3), session=session, emitter=emitter)
        session.flush()
        undone.rollback()
        emit(imported(4), session=session, emitter=emitter)
        session.commit()
    wait_until(lambda: outbox.column("id") == [], what="woken by the commit behind the savepoints")
    assert numbers(redis_client) == [1, 2, 4]


@pytest.mark.parametrize("by_psycopg", [False, True])
async def test_an_async_session_commits_events_without_awaiting_emit(
    outbox: Outbox, emitter: Emitter, redis_client: redis.Redis, by_psycopg: bool
) -> None:
    if by_psycopg and outbox.database.kind != "postgresql":
        pytest.skip("the one driver that a URL names for threads and for asyncio alike")
    engine = create_async_engine(outbox.database.url if by_psycopg else outbox.database.async_url)
    async with AsyncSession(engine) as session:
        assert emit(imported(1), session=session, emitter=emitter)
        await session.commit()
        emit(imported(2), session=session, emitter=emitter)
        await session.rollback()
        emit(imported(3), session=session, emitter=emitter)
        undone = await session.begin_nested()
        emit(imported(4), session=session, emitter=emitter)
        await session.execute(text("SELECT 1"))
        await undone.rollback()
        async with session.begin_nested():
            emit(imported(5), session=session, emitter=emitter)
        await session.commit()
    await engine.dispose()
    assert emitter.flush(WAIT_S)
    assert numbers(redis_client) == [1, 3, 5]


def test_one_insert_is_all_that_a_transaction_pays(outbox: Outbox, emitter: Emitter) -> None:
    statements: list[str] = []
    event.listen(outbox.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with Session(outbox.engine) as session:
        emit(imported(1), session=session, emitter=emitter)
        session.commit()
    assert [statement.split()[0] for statement in statements] == ["INSERT"]


def test_an_error_of_the_insert_is_the_transactions_own(outbox: Outbox, emitter: Emitter) -> None:
    twice = imported(1)
    outbox.insert(row_of(twice, task="bridge.Unknown"))
    with Session(outbox.engine) as session, pytest.raises(IntegrityError):
        emit(twice, session=session, emitter=emitter)
    outbox.execute("DROP TABLE bridge_outbox")
    with Session(outbox.engine) as session, pytest.raises((OperationalError, ProgrammingError)):
        emit(twice, session=session, emitter=emitter)


def test_a_refused_event_leaves_the_transaction_alone(outbox: Outbox, emitter: Emitter, settings: Settings) -> None:
    with Session(outbox.engine) as session:
        assert not emit(object(), session=session, emitter=emitter)
        assert not emit(imported("x" * 100_000), session=session, emitter=emitter)
        session.commit()
    assert (emitter.counts["unmapped"], emitter.counts["refused"]) == (1, 1)
    strict = Emitter(settings, REGISTRY, strict=True)
    with Session(outbox.engine) as session, pytest.raises(EventRefusedError, match="no mapping"):
        emit(object(), session=session, emitter=strict)
    strict.close()
    with pytest.raises(TypeError, match="must be a Session"):
        emit(imported(1), session=outbox.engine, emitter=emitter)


def test_a_full_table_refuses_events_and_not_transactions(outbox: Outbox, redis_url: str) -> None:
    outbox.insert(*(row_of(imported(number), task="bridge.Unknown") for number in range(3)))
    emitter = Emitter(Settings(broker_url=redis_url, outbox_max=3), REGISTRY)
    drain(outbox.engine, emitter=emitter)
    assert emitter.flush(WAIT_S)

    def refused() -> bool:
        with Session(outbox.engine) as session:
            accepted = emit(imported(1), session=session, emitter=emitter)
            session.rollback()
        return not accepted

    wait_until(refused, what="the rows were counted")
    assert emitter.counts["overflowed"] == 1
    emitter.close()


@pytest.mark.parametrize("pool", [{"poolclass": NullPool}, {"pool_size": 1, "max_overflow": 0, "pool_timeout": 1}])
def test_the_drain_takes_no_connection_of_the_applications_pool(
    outbox: Outbox, emitter: Emitter, redis_client: redis.Redis, pool
) -> None:
    engine = create_engine(outbox.database.url, **pool)
    sessions = scoped_session(sessionmaker(engine))
    for number in range(5):
        emit(imported(number), session=sessions, emitter=emitter)
        sessions.commit()
        with sessions.begin():  # holds the pool's only connection meanwhile
            sessions.execute(text("SELECT 1"))
            assert emitter.flush(WAIT_S)
    sessions.remove()
    engine.dispose()
    assert numbers(redis_client) == [0, 1, 2, 3, 4]


def test_a_database_in_memory_is_told_of(emitter: Emitter, caplog: pytest.LogCaptureFixture) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with caplog.at_level(logging.ERROR):
        drain(engine, emitter=emitter)
        assert not emitter.flush(WAIT_S)
    assert "is in the memory of a connection, where no other sees it: name a file." in caplog.text
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://h:port/db", "BRIDGE_OUTBOX_URL is no URL of a database that SQLAlchemy knows"),
        ("postgresql+nosuchdriver://h/db", "BRIDGE_OUTBOX_URL is no URL of a database that SQLAlchemy knows"),
        ("oracle://h/db", "An outbox can be on postgresql, mysql, sqlite, and oracle://h/db is none of them."),
        ("postgresql+pg8000://user:secret@h/db", "postgresql://h/db cannot be used: ModuleNotFoundError"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_and_no_error_of_whoever_emits(
    module_database, redis_url: str, caplog: pytest.LogCaptureFixture, url: str, said: str
) -> None:
    outbox = Outbox(module_database("sqlite"))
    emitter = Emitter(Settings(broker_url=redis_url, outbox_url=url), REGISTRY)
    with Session(outbox.engine) as session:
        assert emit(imported(1), session=session, emitter=emitter)
        session.commit()
    wait_until(lambda: f"bridge.outbox.unusable {said}" in caplog.text, what="it is told")
    assert "secret" not in caplog.text
    assert len(outbox.column("id")) == 1, "it waits for a process that can"
    emitter.close()
    outbox.close()


def test_what_others_committed_is_found_by_the_poll_whoever_they_were(
    outbox: Outbox, emitter: Emitter, redis_client: redis.Redis
) -> None:
    drain(outbox.engine, emitter=emitter)
    assert emitter.flush(WAIT_S)
    outbox.insert(*(row_of(imported(number)) for number in range(1200)))
    wait_until(lambda: outbox.column("id") == [], what="it is polled")
    assert Counter(numbers(redis_client)) == Counter(range(1200))
