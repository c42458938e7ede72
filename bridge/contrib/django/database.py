"""``DjangoDatabase``: a database of settings.py by a connection of our own, made as Django makes them."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from threading import Event
from typing import Any

from django.db import connections
from django.db.utils import load_backend

from bridge.model.errors import OutboxError
from bridge.ports.outbox import Run
from bridge.producer.lifetime import SQLITE
from bridge.producer.outbox.schema import CHANNEL, DIALECTS

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
