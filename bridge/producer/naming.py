"""The name of a producing process: in its report, and of its spool file."""

import os
from uuid import uuid4


def new_name() -> str:
    """A name that no other process has."""
    return f"{os.getpid()}-{uuid4().hex}"
