"""Processes die before, in and after their commits, and while they drain: exactly what is committed is published."""

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from bridge import Settings, User
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import connect
from bridge.redis_adapter.client import text as decoded
from tests.fault.load import environment_for, settings_for
from tests.fault.oracle import judge
from tests.support import keys
from tests.support.outbox import Outbox
from tests.support.outbox_producer import MOMENTS, users_of
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import ROOT, clean_environment, running_worker

PLACES = 3
KILLS = {
    ("sqlalchemy", "postgresql"): 6.0,
    ("sqlalchemy", "mariadb"): 1.2,
    ("sqlalchemy", "sqlite"): 1.2,
    ("django", "postgresql"): 1.2,
    ("django", "mariadb"): 1.2,
    ("django", "sqlite"): 1.2,
}
TRANSACTIONS = 100
"""Committed for a kill. At FAULT_SCALE=16.7 there are 100 kills in 10,000 transactions by SQLAlchemy on PostgreSQL, and
20 by Django and on the others."""
SLOW = [("django", "mariadb"), ("django", "sqlite")]
SERIAL = {
    "postgresql": "BIGSERIAL PRIMARY KEY",
    "mariadb": "BIGINT AUTO_INCREMENT PRIMARY KEY",
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
}


@pytest.mark.parametrize(
    ("way", "kind"), [pytest.param(*which, marks=[pytest.mark.slow] * (which in SLOW)) for which in KILLS]
)
def test_exactly_what_is_committed_is_published_once_and_in_order(
    make_database, tmp_path: Path, scale: float, dice: random.Random, way: str, kind: str
) -> None:
    outbox = Outbox(make_database(kind))
    outbox.execute(f"CREATE TABLE business (id {SERIAL[kind]}, event_id VARCHAR(36), user_id VARCHAR(36))")
    kills, target = max(3, int(KILLS[way, kind] * scale)), int(TRANSACTIONS * KILLS[way, kind] * scale)
    with EmbeddedServer() as server:
        settings = settings_for(server.url)
        environment = environment_for(settings, tmp_path)
        with running_worker(tmp_path, environment):
            moments = _kill(outbox, way, tmp_path, environment, kills, target, dice)
            said = _judged(outbox, settings)
        print(f"{way} on {kind}: {kills} kills ({dict(moments)}): {said}")
    outbox.close()


def _kill(
    outbox: Outbox,
    way: str,
    folder: Path,
    environment: dict[str, str],
    kills: int,
    target: int,
    dice: random.Random,
) -> "Counter[str]":
    """Have processes die, each replaced by the next, until enough has been killed and committed; all end in order."""
    moments: Counter[str] = Counter()
    first = dice.randrange(len(MOMENTS))
    order = [MOMENTS[(first + number) % len(MOMENTS)] for number in range(kills)]
    dice.shuffle(order)

    def begun(place: int) -> "subprocess.Popen[bytes]":
        moment = order.pop() if order else "never"
        arguments = [way, outbox.database.url, str(folder), str(place), str(dice.random()), moment]
        moments[moment] += moment != "never"
        with (folder / "producers.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.support.outbox_producer", *arguments],
                cwd=ROOT,
                env={**clean_environment(), **environment},
                stdout=output,
                stderr=output,
            )

    running = [begun(place) for place in range(PLACES)]

    def is_enough() -> bool:
        for place, process in enumerate(running):
            if process.poll() is not None:
                assert process.returncode == -signal.SIGKILL, (folder / "producers.log").read_text()[-3000:]
                running[place] = begun(place)
        return not order and moments.total() == kills and _committed(outbox.engine) >= target and _alive(running)

    try:
        wait_until(is_enough, timeout_s=60 + 10 * kills, what="all died and enough was committed")
        (folder / "stop").touch()
        assert [process.wait(PROCESS_TIMEOUT_S) for process in running] == [0] * PLACES
    finally:
        for process in running:
            process.kill()
            process.wait()
    return moments


def _alive(running: "list[subprocess.Popen[bytes]]") -> bool:
    """Whether those that run are to die no more."""
    return all(process.poll() is None and process.args[-1] == "never" for process in running)  # type: ignore[index]


def _committed(engine: Engine) -> int:
    try:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT COUNT(*) FROM business")).scalar_one())
    except OperationalError:  # of SQLite, where others write for too long
        return 0


def _judged(outbox: Outbox, settings: Settings) -> str:
    """The verdict, when all is published; the table is empty then."""
    with outbox.engine.connect() as connection:
        rows = connection.execute(text("SELECT user_id, event_id FROM business ORDER BY id")).all()
    users = [user for place in range(PLACES) for user in users_of(place)]
    client = connect(settings)
    try:
        accepted = [event_id for _, event_id in rows]
        wait_until(lambda: judge(client, settings, users, accepted).clean, what="all is published, and nothing else")
        assert outbox.column("id") == []
        for user in users:
            streamed = [decoded(fields[b"event_id"]) for _, fields in client.xrange(keys.stream(User(user)))]
            assert streamed == [event_id for owner, event_id in rows if owner == str(user)]
        return str(judge(client, settings, users, accepted))
    finally:
        client.close()
