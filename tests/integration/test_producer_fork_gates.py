"""What a fork may not cut through, and what a child does that was born in the middle of it all the same."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.support.producers import numbers
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import ROOT, clean_environment

FIRST_FILE = """
import os, sqlite3, sys, threading, time
inside = []
connect = sqlite3.connect

def slow_connect(*given, **named):
    inside.append(True)
    time.sleep(1)
    try:
        return connect(*given, **named)
    finally:
        inside.pop()

def last_hook():
    '''Registered first, so it runs last: the other threads have as much time as they want.'''
    deadline = time.monotonic() + 0.5
    while not inside and time.monotonic() < deadline:
        time.sleep(0.001)

os.register_at_fork(before=last_hook)
sqlite3.connect = slow_connect
from bridge import emit, flush
from bridge.producer import default
from tests.support.producers import event

make, making = default.Emitter, threading.Event()

def slow_emitter():
    making.set()
    time.sleep(0.2)
    return make()

default.Emitter = slow_emitter
first = threading.Thread(target=emit, args=(event(1),))
first.start()
making.wait()
pid = os.fork()
if pid == 0:
    os._exit(3 if inside else 0 if emit(event(2)) and flush(60) else 1)
status = os.waitpid(pid, 0)[1]
first.join()
sys.exit(os.waitstatus_to_exitcode(status) or not flush(60))
"""

BORN_IN_THE_MIDDLE = """
import os, sys, threading, time
from bridge import emit, flush
from bridge.producer import default
from bridge.producer.lifetime import SQLITE
from tests.support.hookless_fork import fork_without_hooks
from tests.support.producers import event

emit(event(1)), flush(60)
held, done = threading.Event(), threading.Event()

def hold():
    with SQLITE.lock():
        held.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
while not default._emitter._background.buffer._asleep:
    time.sleep(0.01)
pid = fork_without_hooks()
if pid == 0:
    os._exit(0 if emit(event(2)) and flush(60) else 1)
status = os.waitpid(pid, 0)[1]
done.set()
thread.join()
sys.exit(os.waitstatus_to_exitcode(status) or not (emit(event(3)) and flush(60)))
"""

SLOW_DISK = """
import os, sqlite3, sys, threading
reached, go_on = threading.Event(), threading.Event()
connect = sqlite3.connect

def slow_connect(*given, **named):
    reached.set()
    go_on.wait()
    return connect(*given, **named)

sqlite3.connect = slow_connect
from bridge import emit
from bridge.producer import background_sender, default
from tests.support.producers import event

background_sender.DISK_WAIT_S = float(sys.argv[1])
emit(event(1))
reached.wait()
threading.Timer(2.0, go_on.set).start()
default._emitter.close(0.0)
print(sorted((name, count) for name, count in default._emitter.counts.items() if count))
os._exit(0)
"""

INHERITED_LOCK = """
import os, sys
from pathlib import Path
from bridge import emit, flush
from bridge.producer.spool_folder import close, lock
from tests.support.producers import event

emit(event(1)), flush(60)
foreign = Path(os.environ["BRIDGE_SPOOL_DIR"]) / "adopted.spool"
held = lock(foreign)
born, go_on = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.write(born[1], b".")
    os.close(go_on[1])
    os.read(go_on[0], 1)  # until its parent has done, or is no more
    os._exit(0)
os.read(born[0], 1)
close(held)  # as of a file that could not be emptied yet
lock(foreign)  # raises while the child holds it, too
os.close(go_on[1])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def run(program: str, url: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**clean_environment(), "BRIDGE_BROKER_URL": url, "BRIDGE_SPOOL_DIR": str(folder / "spool")}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        cwd=ROOT,
        env=environment,
        timeout=PROCESS_TIMEOUT_S,
        capture_output=True,
        text=True,
    )


def test_a_fork_that_waits_for_the_first_emitter_waits_for_its_spool_file_too(redis_url, redis_client, tmp_path):
    done = run(FIRST_FILE, redis_url, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert Counter(numbers(redis_client)) == Counter([1, 2])


def test_a_child_born_in_a_call_of_sqlite_sends_from_memory_and_says_so(redis_url, redis_client, tmp_path):
    done = run(BORN_IN_THE_MIDDLE, redis_url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert Counter(numbers(redis_client)) == Counter([1, 2, 3])
    assert done.stderr.count("bridge.spool.unusable") == 1
    assert "forked in the middle of a call of SQLite" in done.stderr


def test_a_producer_that_closes_waits_for_the_opening_of_its_spool(tmp_path, unreachable="redis://127.0.0.1:1/0"):
    done = run(SLOW_DISK, unreachable, tmp_path, "60")
    assert "bridge.spool" not in done.stderr
    assert done.stdout.strip().startswith("[('accepted', 1)"), done.stderr
    assert "('spooled', 1)" in done.stdout and "abandoned" not in done.stdout


def test_a_producer_that_closes_gives_up_on_a_disk_that_stands_still(tmp_path, unreachable="redis://127.0.0.1:1/0"):
    done = run(SLOW_DISK, unreachable, tmp_path, "0")
    assert "('abandoned', 1)" in done.stdout, done.stdout
    assert "bridge.emitter.abandoned events=1" in done.stderr


def test_a_child_does_not_keep_the_locks_that_its_parent_held(redis_url, tmp_path):
    done = run(INHERITED_LOCK, redis_url, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
