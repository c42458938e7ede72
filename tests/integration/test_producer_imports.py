"""Nothing is imported on a thread of ours: a fork would leave half of it in the child, and its lock held."""

import subprocess
import sys

import pytest

from tests.support.worker import ROOT, clean_environment

PROGRAM = """
import sys, threading
found = []

def note(event, arguments):
    name = threading.current_thread().name
    if event == "import" and name.startswith("bridge-"):
        found.append((name, arguments[0]))

sys.addaudithook(note)
import time
from bridge import Emitter
from tests.support.producers import event

emitter = Emitter()
assert emitter.emit(event(1))
emitter.flush(0.5)
assert emitter.emit(event(2))
time.sleep(3.5)  # until there was a report
emitter.close(0.5)
print(*found, sep="\\n", end="")
"""
NOBODY = "localhost:1"
BROKERS = {"up": "", "away": "redis", "tls": "rediss", "amqp": "amqp", "amqps": "amqps", "sentinel": "sentinel"}


@pytest.mark.parametrize(
    ("broker", "spool"),
    [
        pytest.param(
            scheme and f"{scheme}://{NOBODY}",
            spool,
            id=f"{name}-{'spool' if spool else 'memory'}",
            marks=[] if place % 2 == spool else pytest.mark.slow,
        )
        for place, (name, scheme) in enumerate(BROKERS.items())
        for spool in (False, True)
    ],
)
def test_all_imports_are_made_on_the_callers_thread(redis_url, tmp_path, broker: str, spool: bool) -> None:
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": broker or redis_url.replace("127.0.0.1", "localhost")}
    if broker:
        environment["BRIDGE_REDIS_URL"] = redis_url
    if spool:
        environment["BRIDGE_SPOOL_DIR"] = str(tmp_path / "spool")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
