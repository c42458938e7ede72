"""An audit knows what producers hold: what the killed took with them, what was abandoned, what waits in a spool."""

import json
import os
import signal
import subprocess
import sys
import time
from uuid import uuid4

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.operations.audit import went_away
from bridge.producer import reporter
from bridge.redis_adapter import OperationsLog, Producers
from bridge.runtime.reports import ProducerReport
from tests.support import keys
from tests.support.auditing import audit, emit
from tests.support.moody_catalog import Moody, registry
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import ROOT, clean_environment

# Producers


def test_a_producer_reports_what_it_holds_and_withdraws_at_its_end(settings, client, monkeypatch) -> None:
    monkeypatch.setattr(reporter, "INTERVAL_S", 0.05)
    emitter = Emitter(settings, registry)
    emit(emitter, Moody(user_id=uuid4()))
    producers = Producers(client)
    wait_until(lambda: bool(producers.all()), what="it reports")
    (said,) = producers.all()
    assert (said.report.accepted, said.report.delivered, said.report.waiting) == (1, 1, 0)
    assert said.report.pid == os.getpid()
    assert audit(client, settings).producers == ()
    assert emitter.close()
    assert producers.all() == []


def test_a_producer_that_is_killed_with_events_in_its_memory_is_in_the_audit(redis_url, client, tmp_path) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    code = (
        "import time; from uuid import uuid4; from bridge.producer import emitter, reporter\n"
        "reporter.INTERVAL_S = 0.05\n"
        "from bridge import emit\n"
        "from bridge.catalogs.finance import FileImportSucceeded\n"
        "for number in range(7):\n"
        "    emit(FileImportSucceeded(user_id=uuid4(), file_name='x', transaction_count=number))\n"
        "time.sleep(60)\n"
    )
    settings = Settings(broker_url=away, redis_url=redis_url)
    variables = {**clean_environment(), "BRIDGE_BROKER_URL": away, "BRIDGE_REDIS_URL": redis_url}
    producer = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=variables)
    producers = Producers(client)
    try:
        wait_until(lambda: any(said.report.waiting == 7 for said in producers.all()), what="it says what waits")
    finally:
        producer.send_signal(signal.SIGKILL)
        producer.wait()
    (said,) = audit(client, settings).producers
    assert said.report.pid == producer.pid
    assert not went_away(said)
    report = json.loads(client.hget(keys.PRODUCERS, said.producer))
    client.hset(keys.PRODUCERS, said.producer, json.dumps({**report, "at": report["at"] - 3_600_000}))
    (said,) = audit(client, settings).producers
    assert went_away(said)
    assert [gone.producer for gone in audit(client, settings, write_off="burned").producers] == [said.producer]
    assert audit(client, settings).producers == ()
    assert OperationsLog(client).newest()[0].action == "audit.forget"


def test_an_end_that_abandons_events_is_reported_and_a_spool_is_safe_until_it_is_adopted(
    redis_url, client, tmp_path
) -> None:
    away = Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0", redis_url=redis_url)
    producers = Producers(client)
    emitter = Emitter(away, registry)
    emitter.emit(Moody(user_id=uuid4()))
    assert not emitter.close(0.1)
    (said,) = producers.all()
    assert (said.report.abandoned, said.report.waiting) == (1, 0)
    client.flushall()

    folder = str(tmp_path / "spool")
    spooling = Emitter(
        Settings(broker_url=away.broker_url, redis_url=redis_url, spool_dir=folder),
        registry,
    )
    spooling.emit(Moody(user_id=uuid4()))
    wait_until(lambda: spooling._background.progress.in_spool == 1, what="it is on disk")
    assert spooling.close(0.1)
    (said,) = producers.all()
    assert (said.report.spooled, said.report.abandoned, said.report.waiting) == (1, 0, 0)
    heir = Emitter(Settings(broker_url=redis_url, spool_dir=folder), registry)
    heir.emit(Moody(user_id=uuid4()))
    wait_until(
        lambda: said.producer not in {reported.producer for reported in producers.all()}, what="the heir withdraws it"
    )
    assert heir.close()


def test_the_reports_of_the_killed_stay_within_their_bound(client, monkeypatch) -> None:
    monkeypatch.setattr("bridge.redis_adapter.reports.PRODUCERS_MAX", 20)
    producers = Producers(client)
    for number in range(30):
        producers.keep(str(number), ProducerReport(host="h", pid=number, started=""))
    kept = {said.producer for said in producers.all()}
    assert len(kept) <= 20
    assert "29" in kept


def test_a_silent_broker_does_not_slow_a_callers_emit_down(redis_url, monkeypatch) -> None:
    monkeypatch.setattr(reporter, "INTERVAL_S", 0.01)
    with EmbeddedServer(port=free_port()) as books:
        emitter = Emitter(Settings(broker_url=redis_url, redis_url=books.url), registry)
        emit(emitter, Moody(user_id=uuid4()))
        os.kill(books.pid, signal.SIGSTOP)
        try:
            costs_s = []
            for _ in range(20):
                began = time.monotonic()
                assert emitter.emit(Moody(user_id=uuid4()))
                costs_s.append(time.monotonic() - began)
            assert sorted(costs_s)[10] < 0.1
            assert emitter.flush(WAIT_S)
        finally:
            os.kill(books.pid, signal.SIGCONT)
        assert emitter.close()
