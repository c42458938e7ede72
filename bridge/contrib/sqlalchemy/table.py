"""The table as SQLAlchemy knows it: for the application's metadata, for a migration, and mapped for the session."""

from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Engine,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    TypeDecorator,
)
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.orm import registry

from bridge.producer.outbox import TABLE, OutboxRow, create_statements, drop_statements

BY_NAME = {"mariadb": "mysql"}
"""Names of SQLAlchemy's dialects that the outbox has under another."""


class Operations(Protocol):
    """What is used of ``alembic.op``."""

    def execute(self, sqltext: str) -> Any:
        """Run a statement, or write it down where migrations are run offline."""

    def get_context(self) -> Any:
        """The context of the migration, which has the dialect."""


class _Json(TypeDecorator[bytes]):
    """JSON as bytes. aiomysql 0.3 can write no bytes with PyMySQL 1.2, which a BLOB takes as text just as well."""

    impl = LargeBinary().with_variant(LONGBLOB, "mysql", "mariadb")
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        return bytes.decode if dialect.driver == "aiomysql" else super().bind_processor(dialect)


def outbox_table(metadata: MetaData) -> Table:
    """The table, put into an application's ``metadata``: ``create_all`` and Alembic's autogenerate then know of it."""
    return Table(
        TABLE,
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
        Column("event_id", String(36), nullable=False, unique=True),
        Column("task", String(255), nullable=False),
        Column("order_key", String(32)),
        Column("envelope", _Json, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("schema_version", SmallInteger, nullable=False),
        Column("state", SmallInteger, nullable=False),
        Column("claimed_by", String(64)),
        Column("claimed_ms", BigInteger),
        Index(f"{TABLE}_waiting", "state", "id"),
        sqlite_autoincrement=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
    )


def create_outbox(operations: Operations, *, notify: bool = False) -> None:
    """Make the table, in a migration's ``upgrade()``: ``create_outbox(op)``.

    Args:
        operations: ``alembic.op``.
        notify: see ``BRIDGE_OUTBOX_NOTIFY``; PostgreSQL only.
    """
    for statement in create_statements(dialect_name(operations.get_context().dialect.name), notify=notify):
        operations.execute(statement)


def drop_outbox(operations: Operations) -> None:
    """Drop it, in ``downgrade()``, by ``operations`` as for ``create_outbox``. What waits in it is gone."""
    for statement in drop_statements(dialect_name(operations.get_context().dialect.name)):
        operations.execute(statement)


def dialect_name(name: str) -> str:
    """What the outbox calls a dialect of SQLAlchemy."""
    return BY_NAME.get(name, name)


class OutboxEvent:
    """A row that a session is to insert, and where. It is mapped to stand for the table; none is loaded or flushed.

    Attributes:
        row: what is inserted.
        bind: where the session inserts it.
    """

    def __init__(self, row: OutboxRow, bind: Engine | Connection) -> None:
        self.row = row
        self.bind = bind


_table = outbox_table(MetaData())
MAPPER = registry().map_imperatively(
    OutboxEvent,
    _table,
    primary_key=[_table.c.event_id],
    include_properties=[*OutboxRow.__struct_fields__],
)
INSERT = _table.insert()
"""Of what an ``OutboxRow`` holds."""
