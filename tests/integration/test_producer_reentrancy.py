"""Signal handlers and finalizers emit in the middle of whatever the producer does: nothing is lost or sent twice."""

import sys
from pathlib import Path

import pytest
import redis

from tests.support.items import envelopes_of
from tests.support.processes import clean_environment, run

PROGRAM = """
import os, signal, sys, threading
from uuid import uuid4
from bridge import configure, emit, flush
from bridge.catalogs.finance import FileImportSucceeded
from bridge.producer import background_sender

accepted, refused, when = [], [], sys.argv[1]

def send(*_):
    event = FileImportSucceeded(user_id=uuid4(), file_name="a.csv", transaction_count=1)
    (accepted if emit(event) else refused).append(str(event.event_id))

def interrupt():
    if when == "signal":
        signal.raise_signal(signal.SIGALRM)
    else:
        Finalized()

class Finalized:
    def __del__(self):
        send()

def around(function):
    def wrapped(*given, **named):
        interrupt()
        made = function(*given, **named)
        interrupt()
        return made
    return wrapped

def again(*_):
    send()
    if len(accepted) < 2_000:
        signal.setitimer(signal.ITIMER_REAL, 0.000_5)

signal.signal(signal.SIGALRM, send)
if sys.argv[2] == "made":
    configure()
else:
    background_sender.open_queue = around(background_sender.open_queue)
threading.Thread.start = around(threading.Thread.start)
send()
if when == "signal":
    signal.signal(signal.SIGALRM, again)
    again()
for _ in range(3_000):
    send()
signal.setitimer(signal.ITIMER_REAL, 0)
assert flush(30)
print(*accepted)
print(*refused)
"""


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize("made", ["made", "at first use"])
@pytest.mark.parametrize("when", ["signal", "finalizer"])
def test_what_is_emitted_in_the_middle_arrives_once(
    when: str, made: str, spooled: bool, redis_url: str, redis_client: redis.Redis, tmp_path: Path
) -> None:
    environment = clean_environment({"BRIDGE_BROKER_URL": redis_url, "BRIDGE_SPOOL_DIR": str(tmp_path) * spooled})
    done = run([sys.executable, "-c", PROGRAM, when, made], environment=environment)
    assert done.returncode == 0, done.stderr
    accepted, refused = (line.split() for line in done.stdout.split("\n")[:2])
    assert len(accepted) > 3_000
    items = redis_client.lrange("bridge.import", 0, -1)
    assert sorted(str(one["id"]) for item in items for one in envelopes_of(item)) == sorted(accepted)
    # While the emitter itself is being made there is nothing that could take an event; that is said, each time.
    assert bool(refused) == (made == "at first use")
    assert done.stderr.count("bridge.event.refused") == len(refused), done.stderr
    assert "Traceback" not in done.stderr and "misconfigured" not in done.stderr
