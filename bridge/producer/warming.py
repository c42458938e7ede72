"""``warm_up``: all that a producer's threads will import, on the caller's thread and before one of ours runs.

A process that forks while a thread imports leaves half-made modules and locked import locks in the child, which then
waits for ever. So each import that is made at first use, ours or a library's, is made here; a test watches that none
is left for a thread.
"""

import encodings.idna  # noqa: F401  (imported by the first look-up of a host name)
import socket

from bridge.broker import TaskSender


def warm_up(sender: TaskSender) -> None:
    """Import what sending, reporting and their troubles need. Connects to nothing, raises nothing."""
    sender.prepare()
    # Codecs are looked up in a cache that is filled at first use.
    "localhost".encode("idna")
    socket.gethostname()
