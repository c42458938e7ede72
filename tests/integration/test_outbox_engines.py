"""A process' drains live as long as the engines that they are made from, and only so many have a connection at once."""

import gc
import logging
import threading
from collections.abc import Callable, Iterator

import pytest
import redis
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.contrib.sqlalchemy import drain, emit
from bridge.producer.outbox import drains
from bridge.producer.outbox.drain import Drain
from tests.support.databases import Database
from tests.support.outbox import Outbox, imported
from tests.support.producers import numbers
from tests.support.waiting import WAIT_S, wait_until

NAME = "test-engine"


@pytest.fixture
def emitter(settings: Settings) -> Iterator[Emitter]:
    emitter = Emitter(settings, REGISTRY)
    yield emitter
    emitter.close()


@pytest.fixture
def outbox(module_database: Callable[[str], Database]) -> Iterator[Outbox]:
    outbox = Outbox(module_database("postgresql"))
    yield outbox
    outbox.close()


def new_engine(outbox: Outbox) -> Engine:
    return create_engine(outbox.database.url, connect_args={"application_name": NAME})


def commit(engine: Engine, emitter: Emitter, number: int) -> None:
    with Session(engine) as session:
        assert emit(imported(number), session=session, emitter=emitter)
        session.commit()


def threads() -> int:
    return [thread.name for thread in threading.enumerate()].count("bridge-outbox")


def drains_made() -> int:
    return sum(type(one) is Drain for one in gc.get_objects())


def connections(outbox: Outbox) -> int:
    with outbox.engine.connect() as connection:
        asked = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name")
        return int(connection.execute(asked, {"name": NAME}).scalar_one())


def test_an_engine_that_is_forgotten_takes_its_drain_along_when_all_is_sent(
    outbox: Outbox, emitter: Emitter, redis_client: redis.Redis
) -> None:
    most = 0
    for number in range(200):
        engine = new_engine(outbox)
        commit(engine, emitter, number)
        engine.dispose()
        most = max(most, threads())
    del engine
    assert most < 2 * drains.DRAINS_MAX  # one begins while another ends
    wait_until(lambda: outbox.column("id") == [], what="all is sent")
    wait_until(lambda: gc.collect() >= 0 and threads() == 0, what="no thread is left")
    wait_until(lambda: connections(outbox) == 0, what="no connection is left")
    commit(engine := new_engine(outbox), emitter, 200)
    assert emitter.flush(WAIT_S)
    assert sorted(set(numbers(redis_client))) == list(range(201))
    wait_until(lambda: gc.collect() >= 0 and drains_made() < 20, what="what is left of drains is forgotten")
    engine.dispose()


async def test_so_does_an_engine_for_asyncio(outbox: Outbox, emitter: Emitter, redis_client: redis.Redis) -> None:
    for number in range(3):
        engine = create_async_engine(outbox.database.async_url)
        async with AsyncSession(engine) as session:
            emit(imported(number), session=session, emitter=emitter)
            await session.commit()
        await engine.dispose()
    del engine, session
    wait_until(lambda: gc.collect() >= 0 and threads() == 0, what="no thread is left")
    assert sorted(numbers(redis_client)) == [0, 1, 2]


def test_more_engines_than_have_a_connection_take_turns(
    outbox: Outbox, emitter: Emitter, redis_client: redis.Redis, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(drains, "DRAINS_MAX", 2)
    engines = [new_engine(outbox) for _ in range(5)]
    for number in range(50):
        commit(engines[number % 5], emitter, number)
    assert emitter.flush(WAIT_S)
    wait_until(lambda: outbox.column("id") == [], what="all is sent")
    wait_until(lambda: threads() <= 2, what="the others rest")
    assert sorted(set(numbers(redis_client))) == list(range(50))
    assert caplog.text.count("bridge.outbox.crowded") == 1
    for engine in engines:
        engine.dispose()


def test_an_engine_that_was_disposed_of_or_has_other_options_is_drained_as_before(
    outbox: Outbox, emitter: Emitter, redis_client: redis.Redis
) -> None:
    engine = new_engine(outbox)
    for number in range(10):
        commit(engine.execution_options(schema_translate_map={"a": "b"}) if number % 2 else engine, emitter, number)
        engine.dispose()
        gc.collect()
    assert emitter.flush(WAIT_S)
    wait_until(lambda: threads() == 1, what="one thread drains them all")
    assert numbers(redis_client) == list(range(10))
    with outbox.engine.begin() as connection:
        ended = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name")
        connection.execute(ended, {"name": NAME})
    commit(engine, emitter, 10)
    wait_until(lambda: outbox.column("id") == [], what="it is connected anew, as the engine connects")
    engine.dispose()


def test_what_the_engines_listeners_do_to_connections_is_done_to_the_drains(outbox: Outbox, emitter: Emitter) -> None:
    outbox.execute("DROP SCHEMA IF EXISTS shop CASCADE", "CREATE SCHEMA shop")
    outbox.execute("CREATE TABLE shop.bridge_outbox (LIKE public.bridge_outbox INCLUDING ALL)")
    engine = create_engine(outbox.database.url)
    event.listen(engine, "connect", lambda raw, _: raw.execute("SET search_path TO shop"))
    commit(engine, emitter, 1)
    assert emitter.flush(WAIT_S)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM shop.bridge_outbox")).scalar_one() == 0
    engine.dispose()
    outbox.execute("DROP SCHEMA shop CASCADE")


def test_a_drain_that_was_asked_for_says_that_its_engine_is_gone(
    outbox: Outbox, emitter: Emitter, caplog: pytest.LogCaptureFixture
) -> None:
    drain(new_engine(outbox), emitter=emitter)
    wait_until(lambda: gc.collect() >= 0 and threads() == 0, what="it ends")
    (told,) = [record for record in caplog.records if "bridge.outbox.ended" in record.getMessage()]
    assert told.levelno == logging.WARNING
