"""Children that are forked while their parent's producer is at work: each delivers all that it accepts."""

import subprocess
import sys
from collections import Counter

import pytest

from tests.support.producers import numbers
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import ROOT, clean_environment

EVERY = [(kind, spool) for kind in ("os.fork", "libc fork", "multiprocessing") for spool in (False, True)]
SAMPLE = (("os.fork", True), ("libc fork", False), ("multiprocessing", True))
FEW, MANY = 12, 40
"""Children, spread over 0 to 200 ms after the first event of their parent."""
EVENTS = 25
PER_CHILD = 1_000
"""Numbers of a child begin at its own thousand."""

BORN_IN_SQLITE = "forked in the middle of a call of SQLite"

PROGRAM = f"""
import multiprocessing, os, sys, threading, time, warnings
warnings.simplefilter("ignore")
from bridge import emit, flush
from bridge.producer import default
from tests.support.hookless_fork import fork_without_hooks
from tests.support.producers import event

kind, children = sys.argv[1], int(sys.argv[2])

def child(place):
    count = sum(emit(event(place * {PER_CHILD} + number)) for number in range({EVENTS}))
    return 0 if count == {EVENTS} and flush(60) else 1

def fork(place):
    if kind == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(child(place)))
        process.start()
        return process.pid
    pid = os.fork() if kind == "os.fork" else fork_without_hooks()
    if pid == 0:
        code = 1
        try:
            code = child(place)
        finally:
            os._exit(code)
    return pid

def one_parent(place):
    '''A process of its own for each delay, since only a first emit makes its threads begin.'''
    pid = os.fork()
    if pid:
        return pid
    first = threading.Thread(target=emit, args=(event(place * {PER_CHILD} + {EVENTS}),))
    first.start()
    if place % 4 or kind == "libc fork":
        first.join()  # otherwise the fork comes while the emitter is made, and waits for it by Python's hooks
    time.sleep(place * 0.2 / children)
    while kind == "libc fork" and not (flush(5) and default._emitter._background.buffer._asleep):
        time.sleep(0.01)
    born = fork(place)
    status = os.waitpid(born, 0)[1]
    first.join()
    os._exit(0 if status == 0 and flush(60) else 1)

parents = []
bad = 0
for place in range(children):
    parents.append(one_parent(place))
    if len(parents) == 4:
        bad += sum(os.waitpid(pid, 0)[1] != 0 for pid in parents)
        parents.clear()
bad += sum(os.waitpid(pid, 0)[1] != 0 for pid in parents)
sys.exit(bad)
"""


@pytest.mark.parametrize(
    ("kind", "spool", "children"),
    [
        *((*way, FEW) for way in SAMPLE),
        *(pytest.param(*way, MANY, marks=pytest.mark.slow) for way in EVERY),
    ],
    ids=lambda value: {False: "memory", True: "spool"}[value] if isinstance(value, bool) else None,
)
def test_each_child_delivers_all_that_it_accepts(
    redis_url, redis_client, tmp_path, kind: str, spool: bool, children: int
) -> None:
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": redis_url}
    if spool:
        environment["BRIDGE_SPOOL_DIR"] = str(tmp_path / "spool")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, str(children)],
        cwd=ROOT,
        env=environment,
        timeout=PROCESS_TIMEOUT_S,
        capture_output=True,
        text=True,
    )
    # A call of SQLite may take longer than this test waits for it: such a child goes without a spool, and says so.
    said = [line for line in done.stderr.splitlines() if kind != "libc fork" or BORN_IN_SQLITE not in line]
    assert (done.returncode, said) == (0, []), done.stderr
    found = Counter(numbers(redis_client))
    expected = {place * PER_CHILD + number for place in range(children) for number in range(EVENTS + 1)}
    assert expected - set(found) == set()
    assert [number for number, times in found.items() if times > 1] == []
