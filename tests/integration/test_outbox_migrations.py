"""The table is made by a migration, by statements or by an application's own metadata, and is the same each time."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, create_engine, inspect
from sqlalchemy.pool import NullPool

from bridge.contrib.sqlalchemy import outbox_table
from tests.support.databases import KINDS, Database
from tests.support.outbox import Outbox

ENVIRONMENT = """
from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

with create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=NullPool).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
MIGRATION = """
from alembic import op

from bridge.contrib.sqlalchemy import create_outbox, drop_outbox

revision, down_revision = "1", None


def upgrade():
    create_outbox(op, notify=op.get_context().dialect.name == "postgresql")


def downgrade():
    drop_outbox(op)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_migration_makes_the_table_that_metadata_and_statements_make(
    make_database: Callable[[str], Database], tmp_path: Path, kind: str
) -> None:
    by_statements = Outbox(make_database(kind))
    by_statements.close()
    by_metadata, migrated = make_database(kind), make_database(kind)
    engine, metadata = create_engine(by_metadata.url, poolclass=NullPool), MetaData()
    outbox_table(metadata)
    metadata.create_all(engine)
    config = _config(tmp_path, migrated)
    command.upgrade(config, "head")
    assert _seen(by_statements.database) == _seen(by_metadata) == _seen(migrated)
    command.downgrade(config, "base")
    with create_engine(migrated.url, poolclass=NullPool).connect() as connection:
        assert "bridge_outbox" not in inspect(connection).get_table_names()
    command.upgrade(config, "head")


def _config(folder: Path, database: Database) -> Config:
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "migrations" / "env.py").write_text(ENVIRONMENT)
    (folder / "migrations" / "versions" / "1_outbox.py").write_text(MIGRATION)
    config = Config()
    config.set_main_option("script_location", str(folder / "migrations"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", database.url)
    return config


def _seen(database: Database) -> object:
    """Columns, keys and indexes, as the database tells them."""
    with create_engine(database.url, poolclass=NullPool).connect() as connection:
        seen = inspect(connection)
        columns = [(one["name"], str(one["type"]), one["nullable"]) for one in seen.get_columns("bridge_outbox")]
        indexes = {
            (tuple(one["column_names"]), bool(one["unique"]))
            for one in [*seen.get_indexes("bridge_outbox"), *_uniques(seen)]
        }
        return columns, seen.get_pk_constraint("bridge_outbox")["constrained_columns"], indexes


def _uniques(seen) -> list[dict]:
    return [{**one, "unique": True} for one in seen.get_unique_constraints("bridge_outbox")]
