"""The emitters of a process: a forked child makes them forget their parent, and a process that ends closes them.

What a fork waits for is here as well: so these gates are made before anybody uses them.
"""

import atexit
import os
import sys
import weakref
from typing import TYPE_CHECKING
from uuid import uuid4

from bridge.runtime.forks import ForkGate

if TYPE_CHECKING:
    from bridge.producer.emitter import Emitter

SQLITE = ForkGate()
"""Held in each call of SQLite, by whatever file: a fork in one would leave SQLite's own locks held in the child."""
EMITTERS = ForkGate()
"""Held while emitters are made. A fork asks for the last gate first: when it has this one, no emitter is half made."""


FINALIZER_PRIORITY = 100
"""Before the finalizers that close what we need; multiprocessing's own go down from here."""

_emitters: "weakref.WeakSet[Emitter]" = weakref.WeakSet()
"""Every emitter of the process: a forked child must make each forget its parent."""
_open: set["Emitter"] = set()
"""Emitters that accepted events: they live until they are closed, whoever else has forgotten them."""
_inherited: list[object] = []
"""What a fork brought along. To tidy it up here would end connections that the parent still uses."""


def new_name() -> str:
    """A name that no other producing process has: of its report, and of its spool file."""
    return f"{os.getpid()}-{uuid4().hex}"


def note_made(emitter: "Emitter") -> None:
    """Have a forked child make this emitter forget its parent."""
    with EMITTERS.lock():
        _emitters.add(emitter)


def emitters() -> "list[Emitter]":
    """Every emitter of the process."""
    with EMITTERS.lock():
        return list(_emitters)


def note_closed(emitter: "Emitter") -> None:
    """There is nothing left to deliver at the end."""
    _open.discard(emitter)


def keep_inherited(threads_and_connections: object) -> None:
    """Let what a fork brought along never be tidied up."""
    _inherited.append(threads_and_connections)


def after_fork_in_child() -> None:
    """A child has neither the thread nor a right to the parent's connection and buffered events."""
    with EMITTERS.lock():
        _open.clear()
        for emitter in list(_emitters):
            emitter.forget_parent()


def _at_exit() -> None:
    timeout_s = None
    for emitter in list(_open):
        try:
            emitter.close(timeout_s)
        except (
            BaseException
        ):  # a second Ctrl-C, or a signal handler's exit: no more waiting, but a word on what is left
            timeout_s = 0.0
            emitter.close(timeout_s)


def close_with_process(emitter: "Emitter") -> None:
    """Have this process deliver what an emitter accepted when it ends.

    A child of multiprocessing or of a Celery pool ends without atexit: it runs the finalizers of its own
    library, which are forgotten at the fork, and so are registered by the process that needs them.
    """
    _open.add(emitter)
    for name in ("multiprocessing.util", "billiard.util"):
        module = sys.modules.get(name)
        if module is not None and _finalized.get(name) != os.getpid():
            _finalized[name] = os.getpid()
            module.Finalize(None, _at_exit, exitpriority=FINALIZER_PRIORITY)


_finalized: dict[str, int] = {}


os.register_at_fork(after_in_child=after_fork_in_child)
atexit.register(_at_exit)
