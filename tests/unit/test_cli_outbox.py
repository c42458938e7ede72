"""``sse-bridge outbox`` prints statements that a database takes as they are."""

import sqlite3

import pytest
from click.testing import CliRunner

from bridge.cli.outbox import outbox
from bridge.producer.outbox import DIALECTS


def test_what_is_printed_makes_the_table() -> None:
    printed = CliRunner().invoke(outbox, ["--ddl", "sqlite"])
    assert printed.exit_code == 0
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(printed.output)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(bridge_outbox)")]
    assert columns[:3] == ["id", "event_id", "task"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_postgresql_can_notify(dialect: str) -> None:
    printed = CliRunner().invoke(outbox, ["--ddl", dialect, "--notify"])
    assert printed.exit_code == (0 if dialect == "postgresql" else 2)
    assert ("NOTIFY" in printed.output) == (dialect == "postgresql")
