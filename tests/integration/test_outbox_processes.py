"""Outboxes of several processes: forked from a server that has one, ended early, and told of each other's commits."""

import subprocess
import sys
import threading
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import httpx
import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.contrib.sqlalchemy import drain
from bridge.contrib.sqlalchemy.notices import WAIT_S
from bridge.local.redis_server import free_port
from bridge.producer.background_sender import JOIN_TIMEOUT_S
from bridge.producer.outbox import create_statements
from tests.support.databases import Database
from tests.support.needs import needs_package
from tests.support.outbox import Outbox, imported, row_of
from tests.support.producers import numbers
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.waiting import WAIT_S as PATIENCE_S
from tests.support.worker import ROOT, clean_environment

SCRIPT = """
import sys
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from bridge.contrib.sqlalchemy import emit
from tests.support.outbox import imported

with Session(create_engine(sys.argv[1])) as session:
    emit(imported(7), session=session)
    session.commit()
"""


@pytest.mark.parametrize("app", ["tests.support.outbox_app", "tests.support.outbox_django_app"])
@pytest.mark.parametrize("kind", ["postgresql", pytest.param("sqlite", marks=pytest.mark.slow)])
def test_every_process_of_a_preforking_server_drains_what_it_commits(
    make_database: Callable[[str], Database],
    redis_url: str,
    redis_client: redis.Redis,
    tmp_path: Path,
    kind: str,
    app: str,
) -> None:
    needs_package("gunicorn")
    outbox = Outbox(make_database(kind))
    port = free_port()
    environment = {"BRIDGE_BROKER_URL": redis_url, "OUTBOX_DATABASE": outbox.database.url, "BRIDGE_OUTBOX_POLL_S": "60"}
    command = [sys.executable, "-W", "ignore", "-m", "gunicorn", "--preload", "--bind", f"127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--workers", "3", f"{app}:app"],
            cwd=ROOT,
            env={**clean_environment(), **environment},
            stdout=log,
            stderr=log,
        )
        try:
            served = set()

            def answers() -> bool:
                with httpx.Client(timeout=PROCESS_TIMEOUT_S) as client:
                    served.add(client.get(f"http://127.0.0.1:{port}").text)
                return len(served) == 3

            wait_until(lambda: _is_open(port), what="it serves")
            wait_until(answers, what="each process has answered")
            wait_until(lambda: outbox.column("id") == [], what="each drains what it commits, long before a poll")
        finally:
            server.terminate()
            server.wait(PROCESS_TIMEOUT_S)
    emitted = numbers(redis_client)
    assert len(set(emitted)) == len(emitted)
    assert {number // 10_000 for number in emitted} >= {int(pid) for pid in served}
    assert "Traceback" not in (tmp_path / "log").read_text()
    outbox.close()


def test_a_script_that_ends_after_its_commit_has_sent_what_it_committed(
    make_database: Callable[[str], Database], redis_url: str, redis_client: redis.Redis
) -> None:
    outbox = Outbox(make_database("sqlite"))
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": redis_url}
    command = [sys.executable, "-c", SCRIPT, outbox.database.url]
    assert subprocess.run(command, cwd=ROOT, env=environment, timeout=PROCESS_TIMEOUT_S).returncode == 0
    assert numbers(redis_client) == [7]
    outbox.close()


@pytest.mark.parametrize("by", ["psycopg", "psycopg for asyncio", "asyncpg", "BRIDGE_OUTBOX_URL"])
def test_a_notification_wakes_a_process_that_did_not_commit(
    make_database: Callable[[str], Database], redis_url: str, redis_client: redis.Redis, by: str
) -> None:
    outbox = Outbox(make_database("postgresql"), make=False)
    outbox.execute(*create_statements("postgresql", notify=True))
    database = outbox.database
    engine: Engine | AsyncEngine = outbox.engine
    if by in ("psycopg for asyncio", "asyncpg"):
        engine = create_async_engine(database.async_url if by == "asyncpg" else database.url)
    url = database.async_url if by == "BRIDGE_OUTBOX_URL" else ""
    settings = Settings(broker_url=redis_url, outbox_poll_s=3600, outbox_notify=True, outbox_url=url)
    emitter = Emitter(settings, REGISTRY)
    drain(engine, emitter=emitter)
    assert emitter.flush(PATIENCE_S)
    wait_until(lambda: _listens(outbox), what="it listens")
    for number in range(3):
        outbox.insert(row_of(imported(number)))
        wait_until(lambda: outbox.column("id") == [], what="it is told")
    assert numbers(redis_client) == [0, 1, 2]
    assert WAIT_S <= JOIN_TIMEOUT_S / 2, "who closes does not leave without it"
    emitter.close()
    wait_until(lambda: "bridge-outbox-listener" not in map(attrgetter("name"), threading.enumerate()), what="it ends")
    outbox.close()


def _listens(outbox: Outbox) -> bool:
    with outbox.engine.connect() as connection:
        return bool(
            connection.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN%' AND pid <> pg_backend_pid()"
                    " AND datname = current_database()"  # one of the test before may end late
                )
            ).scalar()
        )


def _is_open(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}", timeout=PROCESS_TIMEOUT_S).status_code == 200
    except httpx.TransportError:
        return False
