"""NOTIFY of PostgreSQL, as psycopg 3 and asyncpg hear it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from threading import Event
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.util import greenlet_spawn

from bridge.model.errors import OutboxError
from bridge.producer.outbox.schema import CHANNEL

WAIT_S = 0.5
"""How long it is listened before it is seen whether to stop: a fraction of what an emitter that closes waits for."""
SILENT_WAITS = 4
"""Waits without a word after which asyncpg is asked whether the connection is still there."""


def notices_of(engine: Engine, stopping: Event) -> Iterator[None]:
    """See ``bridge.ports.OutboxDatabase.notices``. The first comes once it listens: nothing was heard before.

    Raises:
        OutboxError: with this driver nothing is heard.
    """
    dialect = engine.dialect
    if dialect.driver == "asyncpg":
        yield from _awaited(_asyncpg_notices(engine, stopping))
    elif dialect.driver != "psycopg":
        raise OutboxError(f"BRIDGE_OUTBOX_NOTIFY needs psycopg 3 or asyncpg, and the driver is {dialect.driver}.")
    elif dialect.is_async:
        yield from _awaited(_async_psycopg_notices(engine, stopping))
    else:
        yield from _psycopg_notices(engine, stopping)


def _awaited(heard: AsyncGenerator[None, None]) -> Iterator[None]:
    with asyncio.Runner() as runner:
        with suppress(StopAsyncIteration):
            while True:
                yield runner.run(_next(heard))
        runner.run(heard.aclose())


async def _next(heard: AsyncGenerator[None, None]) -> None:
    await anext(heard)


def _psycopg_notices(engine: Engine, stopping: Event) -> Iterator[None]:
    connection = _connected(engine, f"LISTEN {CHANNEL}")
    try:
        driver: Any = connection.connection.driver_connection
        yield None
        while not stopping.is_set():
            for _ in driver.notifies(timeout=WAIT_S, stop_after=1):
                yield None
    finally:
        _close(connection)


async def _async_psycopg_notices(engine: Engine, stopping: Event) -> AsyncGenerator[None, None]:
    connection = await greenlet_spawn(_connected, engine, f"LISTEN {CHANNEL}")
    try:
        driver: Any = connection.connection.driver_connection
        yield None
        while not stopping.is_set():
            async for _ in driver.notifies(timeout=WAIT_S, stop_after=1):
                yield None
    finally:
        await greenlet_spawn(_close, connection)


async def _asyncpg_notices(engine: Engine, stopping: Event) -> AsyncGenerator[None, None]:
    connection = await greenlet_spawn(_connected, engine, "SELECT 1")
    try:
        driver: Any = connection.connection.driver_connection
        notice = asyncio.Event()
        await driver.add_listener(CHANNEL, lambda *_: notice.set())
        yield None
        silent = 0
        while not stopping.is_set():
            try:
                await asyncio.wait_for(notice.wait(), WAIT_S)
            except TimeoutError:
                silent += 1
                if silent % SILENT_WAITS == 0:
                    await driver.execute("SELECT 1")
                continue
            notice.clear()
            yield None
    finally:
        await greenlet_spawn(_close, connection)


def _connected(engine: Engine, sql: str) -> Connection:
    """A connection in no transaction, on which a statement was run."""
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.exec_driver_sql(sql)
    return connection


def _close(connection: Connection) -> None:
    """Also for the pool, which nothing else uses."""
    connection.close()
    connection.engine.dispose()
