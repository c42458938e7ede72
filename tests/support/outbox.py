"""An outbox in a database of any kind, and what stands in it."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine.url import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from bridge.catalogs.finance import REGISTRY, FileImportSucceeded
from bridge.contrib.django.database import DjangoDatabase
from bridge.contrib.sqlalchemy.database import SqlAlchemyDatabase
from bridge.contrib.sqlalchemy.table import dialect_name
from bridge.model.pipeline import EventCodec
from bridge.ports import OutboxDatabase
from bridge.producer.batching import Accepted
from bridge.producer.outbox import OutboxRow, create_statements
from bridge.producer.outbox.table import OutboxTable
from bridge.producer.row_validation import RowValidator
from tests.support.databases import Database
from tests.support.django_databases import aliased

REMEMBERED_S = 1000.0
TASK, QUEUE = "bridge.FileImportSucceeded", "bridge.import"


def imported(number: int = 0, user: UUID | None = None) -> FileImportSucceeded:
    """An event, told apart by its number."""
    return FileImportSucceeded(user_id=user or uuid4(), file_name=f"{number}.csv", transaction_count=number)


def row_of(event: FileImportSucceeded, **changes: Any) -> dict[str, Any]:
    """As ``emit`` would write it."""
    envelope = EventCodec(type(event)).encode(event, source="test")
    row = OutboxRow.of(Accepted(TASK, QUEUE, event.event_id, envelope, event.user_id.int))
    return {name: getattr(row, name) for name in row.__struct_fields__} | changes


class Outbox:
    """The table of one database, seen from outside."""

    def __init__(self, database: Database, *, make: bool = True) -> None:
        self.database = database
        self.engine: Engine = create_engine(database.url)
        self._kept: list[Engine] = []  # as an application keeps its engine, or its outbox is drained no more
        self._tables: list[OutboxTable] = []
        self._left = ExitStack()
        if make:
            dialect = dialect_name(make_url(database.url).get_backend_name())
            self.execute("DROP TABLE IF EXISTS bridge_outbox", *create_statements(dialect))

    def execute(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def insert(self, *rows: dict[str, Any]) -> None:
        names = list(rows[0])
        statement = f"INSERT INTO bridge_outbox ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"
        with self.engine.begin() as connection:
            connection.execute(text(statement), list(rows))

    def column(self, name: str) -> Sequence[Any]:
        """Its values in the order of the rows."""
        with self.engine.connect() as connection:
            return connection.execute(text(f"SELECT {name} FROM bridge_outbox ORDER BY id")).scalars().all()

    def age(self, by_s: float) -> None:
        """Have so much time pass for what is claimed."""
        by_ms = int(by_s * 1000)
        self.execute(f"UPDATE bridge_outbox SET claimed_ms = claimed_ms - {by_ms} WHERE claimed_ms > 0")
        for name in set(self.column("claimed_by")) - {None}:
            round_, _, sent_ms = name.partition("@")
            older = f"{round_}@{int(sent_ms) and int(sent_ms) - by_ms}"
            self.execute(f"UPDATE bridge_outbox SET claimed_by = '{older}' WHERE claimed_by = '{name}'")

    def table(self, owner: str, *, by: str = "sync") -> OutboxTable:
        """As a process of that name sees it, by SQLAlchemy (a driver for threads or for asyncio) or by Django."""
        database: OutboxDatabase
        if by == "django":
            database = DjangoDatabase(self._left.enter_context(aliased(self.database)))
        elif by == "async":
            self._kept.append(create_async_engine(self.database.async_url).sync_engine)
            database = SqlAlchemyDatabase(self._kept[-1])
        else:
            database = SqlAlchemyDatabase(self.engine)
        self._tables.append(OutboxTable(database, RowValidator(REGISTRY), owner=owner, remembered_s=REMEMBERED_S))
        return self._tables[-1]

    def close(self) -> None:
        """What was opened by tests, too."""
        for table in self._tables:
            table.close()
        self._left.close()
        self.engine.dispose()
