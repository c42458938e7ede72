"""``DjangoDatabase``: a database of settings.py by a connection of our own, made as Django makes them."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from threading import Event
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import load_backend

from bridge.model.errors import OutboxError
from bridge.ports.outbox import Run
from bridge.producer.lifetime import SQLITE
from bridge.producer.outbox.schema import CHANNEL, DIALECTS
from bridge.producer.outbox.trouble import BusyError, explained

LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}
WAIT_S = 2.0
"""How long it is listened before it is seen whether to stop."""


class DjangoDatabase:
    """Satisfies ``bridge.ports.OutboxDatabase``.

    Its connection is none of Django's own, which belong to their threads and are counted by ``CONN_MAX_AGE`` and pools:
    Django makes it, with its signal ``connection_created``, and this thread keeps it.

    Args:
        alias: in ``DATABASES``.
        url: ``BRIDGE_OUTBOX_URL``, which must be empty.
    """

    def __init__(self, alias: str, url: str = "") -> None:
        self._alias = alias
        self._url = url
        self._connection: Any = None  # of the driver
        self._settings: Mapping[str, Any] = connections.settings[alias]
        self._wrapper_class: Any = load_backend(self._settings["ENGINE"]).DatabaseWrapper
        self.dialect = str(self._wrapper_class.vendor)
        self.name = database_name(self.dialect, self._settings)
        self.maker = table_maker(alias)

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """On SQLite a fork of this process waits for the end of it, as the application's own calls could not go on."""
        with SQLITE.lock() if self.dialect == "sqlite" else nullcontext():
            if self._connection is None:
                self._connection = self._connected(autocommit=self.dialect == "sqlite")
            connection = self._connection
            try:
                if self.dialect == "sqlite":
                    connection.execute("BEGIN IMMEDIATE")
                yield partial(_fetched, connection, "?" if self.dialect == "sqlite" else "%s")
                connection.commit()
            except BaseException:
                self._give_up()
                raise

    def notices(self, stopping: Event) -> Iterator[None]:
        """NOTIFY, with psycopg 3. The first comes once it listens: nothing was heard before."""
        connection = self._connected(autocommit=True)
        try:
            if not callable(getattr(connection, "notifies", None)):
                raise OutboxError("BRIDGE_OUTBOX_NOTIFY needs PostgreSQL with psycopg 3, and this is another driver.")
            connection.execute(f"LISTEN {CHANNEL}")
            yield None
            while not stopping.is_set():
                for _ in connection.notifies(timeout=WAIT_S, stop_after=1):
                    yield None
        finally:
            connection.close()

    def close(self) -> None:
        """Drop the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def _connected(self, *, autocommit: bool) -> Any:
        """A connection of the driver, in no transaction.

        Raises:
            OutboxError: there can be no outbox, or it cannot be reached from here.
        """
        if self.dialect not in DIALECTS:
            raise OutboxError(f"An outbox can be on {', '.join(DIALECTS)}; {self.dialect} is none of them.")
        if self._url:
            raise OutboxError("BRIDGE_OUTBOX_URL is not for Django: name the database in DATABASES, and pass using=.")
        options = {name: value for name, value in self._settings["OPTIONS"].items() if name != "pool"}
        if self.dialect != "sqlite":
            options["isolation_level"] = _read_committed(self.dialect)
        settings = {**self._settings, "OPTIONS": options, "AUTOCOMMIT": autocommit}
        wrapper = self._wrapper_class(settings, self._alias)
        if self.dialect == "sqlite" and wrapper.is_in_memory_db():
            raise OutboxError(f"{self.name} is in the memory of a connection, where no other sees it: name a file.")
        wrapper.connect()
        wrapper.connection.commit()  # whatever a receiver of connection_created began
        return wrapper.connection

    def _give_up(self) -> None:
        """Roll back; a connection that cannot do even that is dropped."""
        try:
            self._connection.rollback()
        except Exception:
            self.close()


def database_name(dialect: str, settings: Mapping[str, Any]) -> str:
    """Without user and password; what is on this machine alone is called by its name."""
    host, port = str(settings["HOST"]), settings["PORT"]
    if host in LOOPBACK or host.startswith("/"):
        host = socket.gethostname()
    if dialect == "sqlite":
        port = ""
    return f"{dialect}://{host}{f':{port}' if port else ''}/{settings['NAME']}"


def table_maker(alias: str) -> str:
    """How the outbox's table is made."""
    database = "" if alias == DEFAULT_DB_ALIAS else f" --database={alias}"
    return f"with `python manage.py migrate bridge{database}`"


def explained_of(error: Exception, connection: Any, name: str = "") -> str:
    """What an error on a connection of Django's means for the outbox, and what to do."""
    name = name or database_name(connection.vendor, connection.settings_dict)
    told = explained(error, name=name, dialect=connection.vendor, maker=table_maker(connection.alias))
    if isinstance(told, BusyError) and may_not_write(connection):
        return f"{name} is locked. {WRITES_AFTER_READING} {begin_immediately(connection.alias)}"
    return str(told)


WRITES_AFTER_READING = (
    "SQLite refuses to write in a transaction that began with reading once another connection has written."
)


def begin_immediately(alias: str) -> str:
    """What to do about it."""
    return f'Add "transaction_mode": "IMMEDIATE" to the OPTIONS of DATABASES[{alias!r}].'


def may_not_write(connection: Any) -> bool:
    """Whether a transaction begins with reading, and fails when the outbox's thread writes before it does itself."""
    mode = connection.settings_dict["OPTIONS"].get("transaction_mode")
    is_file = connection.vendor == "sqlite" and not connection.is_in_memory_db()
    return is_file and str(mode).upper() not in ("IMMEDIATE", "EXCLUSIVE")


def _read_committed(dialect: str) -> object:
    if dialect == "postgresql":
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        return IsolationLevel.READ_COMMITTED
    return "read committed"


def _fetched(connection: Any, placeholder: str, sql: str, *values: object) -> Sequence[Sequence[Any]]:
    cursor = connection.cursor()
    try:
        cursor.execute(sql.replace("%s", placeholder), values or ())
        return cursor.fetchall() if cursor.description else ()
    finally:
        cursor.close()
