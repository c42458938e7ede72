"""What a fork does to a process: ``ForkMark`` tells a child from its parent, ``ForkGate`` keeps a fork out of a step.

Servers that fork without Python's hooks exist (uWSGI), so the hooks of ``os.register_at_fork`` are not enough.
"""

import mmap
import os
import sys
import threading

_WIPE_ON_FORK = 18
"""Linux' MADV_WIPEONFORK: a child finds zeros in such memory."""


class ForkMark:
    """False at first, and in each forked child; true after ``set``. Costs 20 ns to ask, and needs no hook.

    Where the kernel does not wipe memory at a fork, the process id is compared each time, which costs a system call.

    Attributes:
        flag: ``flag[0]`` is true or false; for hot paths.
    """

    def __init__(self) -> None:
        self.flag: mmap.mmap | _ProcessFlag = _wiped_page() or _ProcessFlag()

    def __bool__(self) -> bool:
        return bool(self.flag[0])

    def set(self) -> None:
        """Make it true in this process."""
        self.flag[0] = 1

    def clear(self) -> None:
        """Make it false."""
        self.flag[0] = 0


class _ProcessFlag:
    """As a page that is wiped at a fork."""

    def __init__(self) -> None:
        self._pid = 0

    def __getitem__(self, _: int) -> bool:
        return self._pid == os.getpid()

    def __setitem__(self, _: int, value: int) -> None:
        self._pid = os.getpid() if value else 0


def _wiped_page() -> mmap.mmap | None:
    """A page of memory that a forked child finds empty; None where there is none."""
    if sys.platform != "linux":
        return None
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(_WIPE_ON_FORK)
    except OSError:
        return None
    return page


FORK_WAIT_S = 30.0
"""How long a fork waits at most for what a gate guards. A child that is born in an import never gets beyond it."""


class ForkGate:
    """A lock that each fork waits for, so that no child is born in the middle of what it guards.

    Make it in a module that is loaded before anybody uses it: a fork that already waits for another gate does not
    see a new one. A child finds the lock free, whoever held it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._renewing = threading.Lock()
        self._held = threading.local()
        self._torn = False
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._release_after_fork,
            after_in_child=self._after_fork_in_child,
        )

    @property
    def torn(self) -> bool:
        """Whether this process was forked while the gate was closed, all the same.

        A server forked without Python's hooks, or ``FORK_WAIT_S`` was not enough. What the gate guards may then be
        half done here for good.
        """
        self.lock()
        return self._torn

    @property
    def held_here(self) -> bool:
        """Whether this very thread is within the step: a signal handler or a finalizer interrupts it."""
        return bool(self.lock()._is_owned())  # type: ignore[attr-defined]

    def lock(self) -> threading.RLock:
        """The lock of this process."""
        if self._pid != os.getpid():
            with self._renewing:  # several threads may come first
                if self._pid != os.getpid():
                    self._torn = self._torn or _is_held(self._lock)
                    self._lock = threading.RLock()
                    self._pid = os.getpid()
        return self._lock

    def _before_fork(self) -> None:
        lock = self.lock()
        self._held.lock = lock if lock.acquire(timeout=FORK_WAIT_S) else None

    def _release_after_fork(self) -> None:
        lock, self._held.lock = getattr(self._held, "lock", None), None
        if lock is not None:
            lock.release()

    def _after_fork_in_child(self) -> None:
        self._renewing = threading.Lock()
        self._release_after_fork()
        self.lock()


def _is_held(lock: threading.RLock) -> bool:
    """Whether a thread of our parent holds it; also one whose identity a new thread of ours was given."""
    return bool(lock._is_owned()) or not lock.acquire(blocking=False)  # type: ignore[attr-defined]
