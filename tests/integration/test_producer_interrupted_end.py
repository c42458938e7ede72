"""A process that is interrupted while it waits for the broker at its end still says what becomes of its events."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, clean_environment
from tests.support.spool import waiting_rows
from tests.support.waiting import PROCESS_TIMEOUT_S

PROGRAM = """
import signal, sys
from bridge import Emitter, emit
from bridge.producer.background_sender import BackgroundSender
from tests.support.producers import event

wait = BackgroundSender.wait_until_delivered

def waiting(*given, **named):
    print("waiting", flush=True)
    return wait(*given, **named)

BackgroundSender.wait_until_delivered = waiting
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
other = Emitter()
emit(event(1))
other.emit(event(2))
"""
IN_CODE = """
try:
    other.close(60)
except (KeyboardInterrupt, SystemExit):
    pass
"""


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("code", ["", IN_CODE], ids=["at exit", "in code, then at exit"])
def test_an_interrupted_end_is_no_silent_one(code: str, sent: signal.Signals, spooled: bool, tmp_path: Path) -> None:
    environment = {
        "BRIDGE_BROKER_URL": "redis://127.0.0.1:1/0",
        "BRIDGE_SPOOL_DIR": str(tmp_path) * spooled,
        "BRIDGE_EMIT_EXIT_FLUSH_S": "60",
    }
    argv = [sys.executable, "-c", PROGRAM + code]
    with subprocess.Popen(
        argv, env=clean_environment(environment), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(2 if code else 1):
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(sent)
        _, said = process.communicate(timeout=PROCESS_TIMEOUT_S)
    assert "Traceback" not in said, said
    # What an interruption reaches before it is on the disk is abandoned, and said to be.
    ends = ["spooled", "abandoned"] if spooled else ["abandoned"]
    assert sum(said.count(f"bridge.emitter.{end} events=1") for end in ends) == 2, said
    # Between the disk's word and ours an interruption may come: then the next process sends it all the same.
    assert said.count("bridge.emitter.spooled") <= waiting_rows(tmp_path) <= 2 * spooled
