"""A producer that accepts and no longer sends is a fault within 15 s, as status, health and metrics show it."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bridge import Settings
from bridge.catalogs.finance import REGISTRY
from bridge.operations.status import Status, StatusReader
from bridge.ops.monitoring import families
from bridge.wiring import open_store
from tests.support.waiting import wait_until
from tests.support.worker import ROOT, clean_environment

NOTICED_S = 15.0

STEADY = """
import time
from bridge import emit
from tests.support.producers import event
for number in range(10**9):
    emit(event(number))
    time.sleep(0.02)
"""
STUCK = (
    """
import threading
from bridge.redis_adapter import RedisTaskQueue
RedisTaskQueue.send = lambda self, messages: threading.Event().wait()  # as a call that never comes back
"""
    + STEADY
)
BROKEN = (
    """
from bridge.producer.sender import Sender
def fail(self, events):
    raise LookupError("a fault of ours")
Sender.send = fail
"""
    + STEADY
)
UNMAPPED = STEADY.replace("event(number)", "number")


@contextmanager
def producer(program: str, environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**clean_environment(), **environment},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def faults_of(settings: Settings) -> list[str]:
    reader = StatusReader(open_store(settings, briefly=True), settings, REGISTRY)
    try:
        return [fault.sentence for fault in reader.read().faults if fault.subject == "producers"]
    finally:
        reader.close()


def read(settings: Settings) -> Status:
    reader = StatusReader(open_store(settings, briefly=True), settings, REGISTRY)
    try:
        return reader.read()
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("program", "away", "what"),
    [
        (STEADY, True, "accepts and does not send"),
        (STUCK, False, "accepts and does not send"),
        (BROKEN, False, "bridge-emitter fails (LookupError"),
    ],
    ids=["broker away", "sender stuck", "thread fails"],
)
def test_a_producer_that_does_not_send_is_a_fault(redis_url, redis_client, program: str, away: bool, what: str) -> None:
    settings = Settings(broker_url=redis_url)
    environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_REDIS_URL": redis_url}
    if away:
        environment["BRIDGE_BROKER_URL"] = "redis://127.0.0.1:1/0"
    with producer(program, environment):
        # From the first event on, which may take seconds to come on a busy machine.
        wait_until(lambda: read(settings).producers, what="it reports")
        begun = time.monotonic()
        wait_until(lambda: what in " ".join(faults_of(settings)), what="the fault is seen")
        print(f"seen {time.monotonic() - begun:.1f} s after the first report")
        samples = {s.name: s.value for f in families(read(settings), REGISTRY, settings) for s in f.samples}
        assert samples["bridge_healthy"] == 0


def test_a_producer_that_is_frozen_is_a_fault_and_heals(redis_url, redis_client) -> None:
    settings = Settings(broker_url=redis_url)
    with producer(STEADY, {"BRIDGE_BROKER_URL": redis_url}) as process:
        wait_until(lambda: read(settings).producers, what="it reports")
        assert faults_of(settings) == []
        process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        wait_until(lambda: "has not been heard" in " ".join(faults_of(settings)), what="the fault")
        print(f"seen {time.monotonic() - begun:.1f} s after it was frozen")
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: faults_of(settings) == [], what="it is heard again")


def test_a_producer_with_another_catalog_is_shown(redis_url, redis_client) -> None:
    settings = Settings(broker_url=redis_url)
    with producer(UNMAPPED, {"BRIDGE_BROKER_URL": redis_url}):
        wait_until(lambda: read(settings).producers, what="it reports, though nothing was accepted")
        (report,) = read(settings).producers
        assert report.unmapped > 0
        assert report.unmapped_classes == ("builtins.int",)
        samples = {s.name: s.value for f in families(read(settings), REGISTRY, settings) for s in f.samples}
        assert samples["bridge_producer_unmapped_events"] > 0
