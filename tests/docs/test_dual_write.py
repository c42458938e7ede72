"""The gap between a commit and ``emit``, and how a table of the application's own closes it, as operating.md says."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import redis

from bridge import DomainEvent, Emitter, Settings
from bridge.catalogs.finance import REGISTRY, FileImportSucceeded
from bridge.redis_adapter import connect, read_balance
from tests.support import keys
from tests.support.waiting import PROCESS_TIMEOUT_S, WAIT_S, wait_until
from tests.support.worker import ROOT, clean_environment, running_worker

USER = UUID("0190f0a1-0000-7000-8000-000000000001")

DYING = """
import os, sqlite3, sys
from uuid6 import uuid7

database = sqlite3.connect(sys.argv[1])
with database:
    database.execute("CREATE TABLE imports (file_name TEXT)")
    database.execute("CREATE TABLE outbox (event_id TEXT, file_name TEXT)")
    database.execute("INSERT INTO imports VALUES ('may.csv')")
    database.execute("INSERT INTO outbox VALUES (?, 'may.csv')", (str(uuid7()),))
os._exit(9)  # between the commit and emit
"""


def outbox(database: Path) -> list[DomainEvent]:
    """What was committed, as events under the ids that were committed with it."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT event_id, file_name FROM outbox").fetchall()
    return [
        FileImportSucceeded(event_id=UUID(event_id), user_id=USER, file_name=name, transaction_count=1)
        for event_id, name in rows
    ]


def test_what_was_committed_by_a_process_that_died_can_be_emitted_later_and_once(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    database = tmp_path / "business.sqlite"
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": redis_url}
    died = subprocess.run(
        [sys.executable, "-c", DYING, str(database)], cwd=ROOT, env=environment, timeout=PROCESS_TIMEOUT_S
    )
    assert died.returncode == 9
    assert redis_client.keys() == [], "it happened, and no one is told"
    settings = Settings(broker_url=redis_url)
    for _ in range(2):  # the second process finds the row that the first could not delete any more
        emitter = Emitter(settings, REGISTRY)
        assert emitter.emit_many(outbox(database)) == 1
        assert emitter.flush(WAIT_S)
        emitter.close()
    with connect(settings) as client, running_worker(tmp_path, {"BRIDGE_BROKER_URL": redis_url}):
        wait_until(lambda: read_balance(client).ended == 2, what="both messages ended")
        assert (read_balance(client).published, read_balance(client).duplicate) == (1, 1)
    assert redis_client.xlen(keys.user_stream(USER)) == 1
