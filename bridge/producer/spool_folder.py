"""What stands in a spool directory beside the events: locks, what SQLite keeps, and files set aside as unreadable."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from bridge.model.bounds import SPOOL_SET_ASIDE_MAX
from bridge.model.plain_text import plain_logger

logger = plain_logger(__name__)

LOCK_SUFFIX = ".lock"
BAD_SUFFIX = ".bad"
SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite may keep beside a file."""
FRESH_S = 10.0
"""Younger lock files are left alone, whatever stands beside them."""
TRIES_MAX = 20
"""Times that a lock file may vanish, because its last owner removed it, while it is being locked."""

_held: dict[int, int] = {}
"""The process that opened each descriptor of a lock file. A child inherits them, and with them the locks."""


def lock_path(path: Path) -> Path:
    """The lock file of a spool file stands beside it."""
    return path.with_suffix(LOCK_SUFFIX)


def lock(path: Path) -> int:
    """Hold the lock of a spool file, as an open descriptor.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the lock file cannot be opened: another user's, no file, or the directory cannot be written.
    """
    name = lock_path(path)
    for _ in range(TRIES_MAX):
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        _held[descriptor] = os.getpid()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(descriptor, name):
                return descriptor
        except OSError:
            close(descriptor)
            raise
        close(descriptor)
    raise BlockingIOError(f"{name} is removed again and again")


def _is_fresh(name: Path) -> bool:
    """Whether a lock file is so young that its process may not have locked it yet, nor made its spool file."""
    try:
        return time.time() - name.lstat().st_mtime < FRESH_S
    except FileNotFoundError:
        return True


def unlock(descriptor: int, path: Path) -> None:
    """Release a lock, and remove its file if it is still ours: who waits for it looks whether it is still there."""
    name = lock_path(path)
    with suppress(OSError):
        if is_at(descriptor, name):
            name.unlink()
    close(descriptor)


def close(descriptor: int) -> None:
    """Close a lock file without removing it."""
    _held.pop(descriptor, None)
    os.close(descriptor)


def release_inherited_locks() -> None:
    """In a forked child: release the locks that the parent held, or no process could adopt the files while it lives."""
    for descriptor, pid in list(_held.items()):
        if pid != os.getpid():
            with suppress(OSError):
                close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at that path."""
    try:
        there, ours = path.lstat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev)


def remove_stale_locks(folder: Path, suffix: str) -> None:
    """Remove lock files without a spool file, which a process left that was killed between two steps.

    Raises:
        OSError: the directory cannot be read.
    """
    for name in sorted(folder.glob(f"*{LOCK_SUFFIX}")):
        path = name.with_suffix(suffix)
        if os.path.lexists(path) or _is_fresh(name):
            continue
        try:
            descriptor = lock(path)
        except OSError:
            continue  # held by one that is about to make its spool file, or another user's
        unlock(descriptor, path)


def set_aside(path: Path, reason: str) -> bool:
    """Rename a file, with what SQLite keeps beside it, to ``<name>.spool.bad``, and say so; whether that was possible.

    A directory holds ``SPOOL_SET_ASIDE_MAX`` of them; more are left where they are. Never raises.
    """
    why = " ".join(reason.split())
    try:
        target = _free_name(path)
        path.rename(target)
        for side in SIDE_FILES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + side).rename(target.with_name(target.name + side))
    except FileNotFoundError:
        return False  # somebody was faster
    except OSError as error:
        logger.error("bridge.spool.unreadable path=%s: it stays there (%s). %s", path, error.strerror or error, why)
        return False
    logger.error("bridge.spool.set_aside path=%s as=%s: %s", path, target.name, why)
    return True


def _free_name(path: Path) -> Path:
    """A name that nothing has.

    Raises:
        OSError: there are too many already.
    """
    taken = {other.name for other in path.parent.iterdir() if other.name.endswith(BAD_SUFFIX)}
    if len(taken) >= SPOOL_SET_ASIDE_MAX:
        raise OSError(f"{len(taken)} were set aside already: look at them and remove them")
    name, number = f"{path.name}{BAD_SUFFIX}", 1
    while name in taken:
        number += 1
        name = f"{path.name}.{number}{BAD_SUFFIX}"
    return path.with_name(name)


def remove_with_side_files(path: Path) -> None:
    """Remove a file of SQLite as far as we may; it goes first, or what is beside it would be missed."""
    for name in (path, *(path.with_name(path.name + side) for side in SIDE_FILES)):
        with suppress(OSError):
            name.unlink(missing_ok=True)
