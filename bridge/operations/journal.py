"""Who did what to the books, for the log that they keep themselves."""

import getpass
import os
import socket
from datetime import UTC, datetime

import msgspec

LOG_MAX = 1000
"""Entries that the log of operations keeps."""
REASON_MAX_CHARS = 500


def who() -> str:
    """The person at this terminal, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user need have no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def entry(action: str, reason: str) -> bytes:
    """The beginning of an entry's JSON object, without its closing brace: the script adds what it did."""
    fields = {"at": datetime.now(UTC).isoformat(), "who": who(), "action": action, "reason": reason[:REASON_MAX_CHARS]}
    return msgspec.json.encode(fields)[:-1]
