"""NOTIFY of PostgreSQL, as psycopg 3 and asyncpg hear it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from threading import Event
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.util import greenlet_spawn

from bridge.model.errors import OutboxError
from bridge.producer.outbox.schema import CHANNEL

WAIT_S = 2.0
"""How long it is listened before it is seen whether to stop."""


def notices_of(engine: Engine, stopping: Event) -> Iterator[None]:
    """See ``bridge.ports.OutboxDatabase.notices``.

    Raises:
        OutboxError: with this driver nothing is heard.
    """
    driver = engine.dialect.driver
    if driver == "psycopg":
        yield from _of_psycopg(engine, stopping)
    elif driver == "asyncpg":
        yield from _of_asyncpg(engine, stopping)
    else:
        raise OutboxError(f"BRIDGE_OUTBOX_NOTIFY needs psycopg 3 or asyncpg, and the driver is {driver}.")


def _of_psycopg(engine: Engine, stopping: Event) -> Iterator[None]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        driver: Any = connection.connection.driver_connection
        while not stopping.is_set():
            for _ in driver.notifies(timeout=WAIT_S, stop_after=1):
                yield None


def _of_asyncpg(engine: Engine, stopping: Event) -> Iterator[None]:
    with asyncio.Runner() as runner:
        heard = _asyncpg_notices(engine, stopping)
        with suppress(StopAsyncIteration):
            while True:
                yield runner.run(anext(heard))  # type: ignore[arg-type]
        runner.run(heard.aclose())  # type: ignore[attr-defined]


async def _asyncpg_notices(engine: Engine, stopping: Event) -> AsyncIterator[None]:
    connection = await greenlet_spawn(engine.connect)
    driver: Any = connection.connection.driver_connection
    notice = asyncio.Event()
    await driver.add_listener(CHANNEL, lambda *_: notice.set())
    while not stopping.is_set():
        try:
            await asyncio.wait_for(notice.wait(), WAIT_S)
        except TimeoutError:
            await driver.execute("SELECT 1")  # a connection that was lost is seen
            continue
        notice.clear()
        yield None
    await greenlet_spawn(connection.close)
