"""``SqlAlchemyDatabase``: the application's database by a connection of our own, made as its engine makes them."""

import asyncio
import socket
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from threading import Event
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

from bridge.contrib.sqlalchemy.notices import notices_of
from bridge.contrib.sqlalchemy.table import dialect_name
from bridge.model.errors import OutboxError
from bridge.ports.outbox import Run
from bridge.producer.lifetime import SQLITE
from bridge.producer.outbox import DIALECTS

LOOPBACK = {None, "", "localhost", "127.0.0.1", "::1"}
PLACEHOLDERS: dict[str, Callable[[int], str]] = {
    "qmark": lambda _: "?",
    "numeric": lambda number: f":{number}",
    "numeric_dollar": lambda number: f"${number}",
    "named": lambda number: f":p{number}",
}
"""What stands in a statement for a value, by the style of a driver, where it is not ``%s``."""
T = TypeVar("T")


class SqlAlchemyDatabase:
    """Satisfies ``bridge.ports.OutboxDatabase``.

    Opens its connection as the engine does (driver, arguments, events), but not from the engine's pool, so that no
    request waits for ours. An asyncio driver runs in an event loop of the drain's thread. What is wrong with a URL is
    told by each transaction: an operator's mistake is no error of whoever emits.

    Args:
        engine: of the application; held weakly.
        url: of another database or user instead, of any driver; empty: the engine's.
    """

    def __init__(self, engine: Engine, url: str = "") -> None:
        self._source = None if url else weakref.ref(engine)
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._url = engine.url
        # A URL may name a driver for threads and for asyncio alike, as psycopg's does: the engine says which.
        self._is_async = engine.dialect.is_async
        self._fault = self._note_url(url) if url else ""
        self.dialect = dialect_name(self._url.get_backend_name())
        self.maker = ""
        self.name = name_of(self._url)
        if self.dialect not in DIALECTS:
            self._fault = f"An outbox can be on {', '.join(DIALECTS)}, and {self.name} is none of them."

    def _note_url(self, url: str) -> str:
        """Take another database's URL; returns what is wrong with it."""
        try:
            self._url = make_url(url)
            self._is_async = self._url.get_dialect().is_async
        except Exception as error:  # of whatever part; what it says may hold the password
            return f"BRIDGE_OUTBOX_URL is no URL of a database that SQLAlchemy knows ({type(error).__name__})."
        return ""

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """On SQLite a fork of this process waits for the end of it, as the application's own calls could not go on."""
        with SQLITE.lock() if self.dialect == "sqlite" else nullcontext():
            connection = self._connected()
            try:
                if self.dialect == "sqlite":
                    self._do(connection.exec_driver_sql, "BEGIN IMMEDIATE")
                yield partial(self._run, connection)
                self._do(connection.commit)
            except BaseException:
                self._give_up(connection)
                raise

    def notices(self, stopping: Event) -> Iterator[None]:
        """NOTIFY, with psycopg 3 or asyncpg."""
        return notices_of(self._make_engine(), stopping)

    def close(self) -> None:
        """Drop connection and loop."""
        engine, connection = self._engine, self._connection
        self._engine = self._connection = None
        with suppress(Exception):
            if connection is not None:
                self._do(connection.close)
            if engine is not None:
                self._do(engine.dispose)
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.run_until_complete(asyncio.sleep(0))  # what was closed says good-bye
            loop.close()

    # Inside

    def _do(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call into SQLAlchemy; its drivers for asyncio must be called from a loop."""
        if not self._is_async:
            return function(*arguments)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(greenlet_spawn(function, *arguments))

    def _connected(self) -> Connection:
        """The connection, in no transaction.

        Raises:
            OutboxError: the database is in this process' memory.
        """
        if self._connection is None or self._connection.closed:
            if self._engine is None:
                self._engine = self._make_engine()
            self._connection = self._do(self._engine.connect)
            if self.dialect != "sqlite":
                self._do(partial(self._connection.execution_options, isolation_level="READ COMMITTED"))
        return self._connection

    def _make_engine(self) -> Engine:
        if self._fault:
            raise OutboxError(self._fault)
        if self.dialect == "sqlite" and _in_memory(self._url):
            raise OutboxError(f"{self.name} is in the memory of a connection, where no other sees it: name a file.")
        if self._source is None:
            return create_engine(self._url, poolclass=NullPool)
        opened = partial(_opened, self._source)
        if self._is_async:
            return create_async_engine(self._url, creator=opened, poolclass=NullPool).sync_engine
        return create_engine(self._url, creator=opened, poolclass=NullPool)

    def _run(self, connection: Connection, sql: str, *values: object) -> Sequence[Sequence[Any]]:
        return self._do(_fetched, connection, _styled(sql, connection.dialect.paramstyle, len(values)), values)

    def _give_up(self, connection: Connection) -> None:
        """Roll back; a connection that cannot do even that is dropped."""
        try:
            self._do(connection.rollback)
            if not connection.invalidated:
                return
        except Exception:  # noqa: S110  (the first error is the one to tell of)
            pass
        self._connection = None
        with suppress(Exception):
            self._do(connection.invalidate)
        with suppress(Exception):
            self._do(connection.close)


def _opened(source: "weakref.ref[Engine]") -> Any:
    """A new connection of an engine's driver. Its pool, which we do not keep, knows the engine and would keep it."""
    engine = source()
    if engine is None:
        raise OutboxError("The engine whose connections it uses is gone.")
    made = engine.pool.recreate().connect()
    made.commit()  # what the application's listeners have set stays
    connection = made.dbapi_connection
    made.detach()
    return connection


def _fetched(connection: Connection, sql: str, values: tuple[object, ...]) -> Sequence[Sequence[Any]]:
    result = connection.exec_driver_sql(sql, values)
    return result.fetchall() if result.returns_rows else ()


def _styled(sql: str, style: str, values: int) -> str:
    """A statement with a driver's own placeholders."""
    placeholder = PLACEHOLDERS.get(style)
    if placeholder is None or not values:
        return sql
    return sql.replace("%s", "{}").format(*map(placeholder, range(1, values + 1)))


def _in_memory(url: URL) -> bool:
    return not url.database or ":memory:" in url.database or url.query.get("mode") == "memory"


def name_of(url: URL) -> str:
    """Without user and password; what is on this machine alone is called by its name."""
    host = socket.gethostname() if url.host in LOOPBACK else url.host
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{host}{port}/{url.database or ''}"
