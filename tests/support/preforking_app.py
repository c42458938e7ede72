"""A WSGI application that emits in the master, before it is forked, in each worker at once, and at each request.

``PREFORK_BASE``: its first number. ``PREFORK_DELAY_S``: from the master's first event to the forks. ``PREFORK_LOG``:
where each process writes which numbers it accepted.
"""

import itertools
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bridge import emit
from tests.support.producers import event

EVENTS = 25
PER_PROCESS = 1_000
"""Numbers of a worker begin at its own thousand; the master has the first."""
PER_SERVER = 100_000

_base = int(os.environ.get("PREFORK_BASE", "0"))
_numbers = itertools.count(_base)
"""Of this process."""


def emit_some(count: int) -> None:
    """Emit, and write down what was accepted."""
    accepted = [number for number in itertools.islice(_numbers, count) if emit(event(number))]
    with Path(os.environ["PREFORK_LOG"]).open("a") as log:
        log.write("".join(f"{number}\n" for number in accepted))


def begin_worker(place: int) -> None:
    """Called in each worker, first of all; ``place`` begins at 1."""
    global _numbers
    _numbers = itertools.count(_base + place * PER_PROCESS)
    emit_some(EVENTS)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    emit_some(1)
    start_response("204 No Content", [])
    return []


def post_worker_init(worker: Any) -> None:
    """A hook of gunicorn's, for which this module is its configuration, too."""
    begin_worker(worker.age)


if "PREFORK_BASE" in os.environ:
    emit_some(1)
    try:
        import uwsgi
    except ImportError:
        pass
    else:
        uwsgi.post_fork_hook = lambda: begin_worker(uwsgi.worker_id())
    time.sleep(float(os.environ["PREFORK_DELAY_S"]))  # the forks come so long after the first event
