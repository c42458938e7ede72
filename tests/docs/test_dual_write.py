"""The gap between a commit and ``emit``, and how the outbox closes it, as outbox.md says."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
import redis
from sqlalchemy import create_engine

from bridge import Emitter, Settings, User
from bridge.catalogs.finance import REGISTRY
from bridge.contrib.sqlalchemy import drain
from bridge.redis_adapter import connect, read_balance
from tests.support import keys
from tests.support.waiting import PROCESS_TIMEOUT_S, WAIT_S, wait_until
from tests.support.worker import ROOT, clean_environment, running_worker

USER = UUID("0190f0a1-0000-7000-8000-000000000001")
DYING = """
import os, sys
from uuid import UUID

from sqlalchemy import MetaData, create_engine, event
from sqlalchemy.orm import Session

import bridge
from bridge.catalogs.finance import FileImportSucceeded
from bridge.contrib.sqlalchemy import emit, outbox_table

database, user, way = sys.argv[1:]
engine = create_engine(database)
metadata = MetaData()
outbox_table(metadata)
metadata.create_all(engine)
happened = FileImportSucceeded(user_id=UUID(user), file_name="may.csv", transaction_count=1)


def die(*_):
    os._exit(9)


with Session(engine) as session:
    event.listen(session, "after_commit", die, insert=True)  # before anything is sent
    session.connection()
    if way == "outbox":
        emit(happened, session=session)
    session.commit()
    bridge.emit(happened)
"""


@pytest.mark.parametrize(("way", "published"), [("emit", 0), ("outbox", 1)])
def test_what_a_process_committed_that_died_is_sent_once_from_an_outbox(
    redis_url: str, redis_client: redis.Redis, tmp_path: Path, way: str, published: int
) -> None:
    database = f"sqlite:///{tmp_path}/business.sqlite"
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": redis_url}
    command = [sys.executable, "-c", DYING, database, str(USER), way]
    assert subprocess.run(command, cwd=ROOT, env=environment, timeout=PROCESS_TIMEOUT_S).returncode == 9
    assert not redis_client.exists("bridge.import"), "it happened, and no one is told"
    settings = Settings(broker_url=redis_url)
    engine = create_engine(database)
    emitter = Emitter(settings, REGISTRY)
    drain(engine, emitter=emitter)
    assert emitter.flush(WAIT_S)
    emitter.close()
    engine.dispose()
    with connect(settings) as client, running_worker(tmp_path, {"BRIDGE_BROKER_URL": redis_url}):
        wait_until(lambda: not read_balance(client).open, what="all has ended")
        assert read_balance(client).accepted == published
    assert redis_client.xlen(keys.stream(User(USER))) == published
