"""Who buries: the worker's name and the bridge's version, as dead letters show them."""

import os
import socket
from importlib.metadata import version

RELEASE = version("sse-bridge")


def worker_name() -> str:
    """Host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"
