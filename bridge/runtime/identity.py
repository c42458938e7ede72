"""Who this process is: a name that no other process has, and the versions that it runs."""

import getpass
import os
import socket
import sys
from importlib.metadata import version
from typing import Final
from uuid import uuid4

from bridge.model.bounds import PERSON_CHARS_MAX
from bridge.model.plain_text import one_line
from bridge.settings import ReleaseSettings

VERSION: Final = version("sse-bridge")
RELEASE_CHARS_MAX = 100

_TOKENS: dict[int, str] = {}
"""By process id: some servers fork without telling Python, so that a hook would not do."""


def short_name() -> str:
    """``<host>:<pid>``, which containers may share."""
    return f"{socket.gethostname()}:{os.getpid()}"


def process_name() -> str:
    """``<host>:<pid>:<random>``: the same while this process lives, and another one in a fork of it."""
    return f"{short_name()}:{_TOKENS.setdefault(os.getpid(), uuid4().hex[:12])}"


def who_am_i() -> str:
    """``user@host`` of this process, on one line: LOGNAME may be set to any bytes."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = str(os.getuid())
    return f"{one_line(user, chars_max=PERSON_CHARS_MAX)}@{socket.gethostname()}"


def team_release(settings: ReleaseSettings) -> str:
    """The team's own version: ``BRIDGE_RELEASE``, or ``__version__`` of the catalog's module or package; else empty.

    Of several catalogs, the first that has one.
    """
    if settings.release:
        return settings.release
    modules = [path.strip().partition(":")[0] for path in settings.registry.split(",")]
    for name in (name for module in modules for name in (module, module.partition(".")[0])):
        found = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(found, str) and found.isprintable() and found:
            return found[:RELEASE_CHARS_MAX]
    return ""


def release(settings: ReleaseSettings) -> str:
    """What dead letters show: the team's version, if it has one, and the bridge's."""
    team = team_release(settings)
    return f"{team} (bridge {VERSION})" if team else VERSION
