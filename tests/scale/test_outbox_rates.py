"""What an outbox costs on PostgreSQL: the INSERT beside a bare one, an idle commit's way to the channel, and draining.

Prints medians of turns that alternate, as the machine may not be alone; the bounds leave room for that.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections, transaction
from sqlalchemy import Engine, insert, text
from sqlalchemy.orm import Session

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.contrib.django import emit_on_commit
from bridge.contrib.sqlalchemy import drain, emit
from bridge.contrib.sqlalchemy.table import OutboxEvent
from bridge.redis_adapter import connect
from tests.support.databases import DURABLE, Database
from tests.support.django_databases import aliased
from tests.support.keys import user_channel
from tests.support.outbox import Outbox, imported, row_of
from tests.support.worker import running_worker

TABLE = OutboxEvent.__table__  # type: ignore[attr-defined]
ROUNDS = 600
COMMITS = 200
EVENTS = 50_000
TIMES_MAX = 1.5
LATENCY_MAX_S = 0.010
LATENCY_TIMES_MAX = 4
"""Of emit without an outbox, where the machine is too busy for either."""
DRAINED_MIN_PER_S = 5_000


def inserts(engine: Engine, emitter: Emitter, rounds: int) -> float:
    """In a transaction that has begun, without COMMIT: of the same row, by emit, by the session and by the driver."""
    wall: dict[str, list[float]] = {"session": [], "emit": [], "driver": []}
    cpu: dict[str, list[float]] = {"session": [], "emit": [], "driver": []}
    names = list(row_of(imported()))
    by_driver = f"INSERT INTO bridge_outbox ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
    for number in range(rounds):
        for way in sorted(wall, reverse=bool(number % 2)):
            with Session(engine) as session:
                session.execute(text("SELECT 1"))
                told = imported(number)
                row = row_of(told)
                driver: Any = session.connection().connection.driver_connection
                begun, begun_cpu = time.perf_counter(), time.thread_time()
                if way == "session":
                    session.execute(insert(TABLE), row)
                elif way == "emit":
                    emit(told, session=session, emitter=emitter)
                else:
                    driver.execute(by_driver, tuple(row.values()))
                wall[way].append(time.perf_counter() - begun)
                cpu[way].append(time.thread_time() - begun_cpu)
                session.rollback()
    for way, took in wall.items():
        times = statistics.median(took) / statistics.median(wall["session"])
        print(f"insert by {way}: {_us(took)}, of processor {_us(cpu[way])}; {times:.2f} times the session's")
    return statistics.median(wall["emit"]) / statistics.median(wall["session"])


def inserts_by_django(alias: str, emitter: Emitter, rounds: int) -> float:
    """As ``inserts``, in a transaction of Django: by emit_on_commit, and of the same row by the ORM."""
    from bridge.contrib.django.models import OutboxEvent as Row  # when Django is set up

    wall: dict[str, list[float]] = {"orm": [], "emit": []}
    cpu: dict[str, list[float]] = {"orm": [], "emit": []}
    connection = connections[alias]
    for number in range(rounds):
        for way in sorted(wall, reverse=bool(number % 2)):
            with transaction.atomic(using=alias):
                connection.cursor().execute("SELECT 1")
                told = imported(number)
                row = row_of(told)
                begun, begun_cpu = time.perf_counter(), time.thread_time()
                if way == "orm":
                    Row.objects.using(alias).create(**row)
                else:
                    emit_on_commit(told, alias, emitter=emitter)
                wall[way].append(time.perf_counter() - begun)
                cpu[way].append(time.thread_time() - begun_cpu)
                transaction.set_rollback(True, using=alias)
    for way, took in wall.items():
        print(f"insert by {way}: {_us(took)}, of processor {_us(cpu[way])}")
    return statistics.median(wall["emit"]) / statistics.median(wall["orm"])


def _us(took: Sequence[float]) -> str:
    return f"{statistics.median(took) * 1e6:.0f} us"


def latency(engine: Engine, emitter: Emitter, settings: Settings, number: int) -> tuple[float, float]:
    """From the return of COMMIT to the message on the user's channel, and from that of emit without an outbox; p50."""
    user = uuid4()
    client = connect(settings)
    heard = client.pubsub(ignore_subscribe_messages=True)
    heard.subscribe(user_channel(user))
    heard.get_message(timeout=1)
    took: dict[bool, list[float]] = {True: [], False: []}
    for count in range(number + 10):
        for by_outbox in (True, False):
            time.sleep(0.03)
            with Session(engine) as session:
                if by_outbox:
                    emit(imported(count, user), session=session, emitter=emitter)
                else:
                    session.execute(text("SELECT 1"))
                session.commit()
                committed = time.perf_counter()
                if not by_outbox:
                    emitter.emit(imported(count, user))
            while heard.get_message(timeout=10) is None:
                pass
            took[by_outbox].append(time.perf_counter() - committed)
    for by_outbox, times in took.items():
        p90 = sorted(times[10:])[number * 9 // 10]
        way = "outbox" if by_outbox else "emit"
        print(f"commit to channel, idle, {way}: p50 {_us(times[10:])}, p90 {p90 * 1e6:.0f} us")
    return statistics.median(took[True][10:]), statistics.median(took[False][10:])


def draining(outbox: Outbox, settings: Settings, number: int) -> float:
    """Of a table that holds so many events."""
    rows = [row_of(imported(count)) for count in range(number)]
    for begin in range(0, number, 1000):
        outbox.insert(*rows[begin : begin + 1000])
    emitter = Emitter(settings, REGISTRY)
    begun, begun_cpu = time.perf_counter(), time.process_time()
    drain(outbox.engine, emitter=emitter)
    while not emitter.flush(60):
        pass
    took = time.perf_counter() - begun
    processor = (time.process_time() - begun_cpu) / number
    print(f"drained {number} in {took:.2f} s: {number / took:,.0f}/s, {processor * 1e6:.0f} us of processor an event")
    emitter.close()
    assert not outbox.column("id")
    return number / took


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch, make_database: Callable[[str], Database]) -> Iterator[Outbox]:
    monkeypatch.setenv(DURABLE, "1")
    outbox = Outbox(make_database("postgresql"))
    yield outbox
    outbox.close()


def test_an_event_in_a_transaction_costs_little_more_than_a_row(outbox: Outbox, settings: Settings) -> None:
    emitter = Emitter(settings, REGISTRY)
    assert inserts(outbox.engine, emitter, ROUNDS) <= TIMES_MAX
    emitter.close()


def test_an_event_in_a_transaction_of_django_costs_little_more_than_a_row(outbox: Outbox, settings: Settings) -> None:
    emitter = Emitter(settings, REGISTRY)
    with aliased(outbox.database) as alias:
        assert inserts_by_django(alias, emitter, ROUNDS) <= TIMES_MAX
        emitter.close()


def test_an_idle_commit_is_soon_on_the_channel(outbox: Outbox, settings: Settings, tmp_path: Path) -> None:
    emitter = Emitter(settings, REGISTRY)
    with running_worker(tmp_path, {"BRIDGE_BROKER_URL": settings.broker_url}):
        by_outbox, by_emit = latency(outbox.engine, emitter, settings, COMMITS)
        assert by_outbox <= max(LATENCY_MAX_S, LATENCY_TIMES_MAX * by_emit)
    emitter.close()


def test_a_full_table_is_drained(outbox: Outbox, settings: Settings) -> None:
    assert max(draining(outbox, settings, EVENTS) for _ in range(3)) >= DRAINED_MIN_PER_S
