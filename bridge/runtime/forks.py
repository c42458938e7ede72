"""``ForkMark``: whether this process is still the one that set it; costs 20 ns to ask, and needs no hook of Python's.

Servers that fork without Python's hooks exist (uWSGI), so the hooks of ``os.register_at_fork`` are not enough.
"""

import mmap
import os
import sys

_WIPE_ON_FORK = 18
"""Linux' MADV_WIPEONFORK: a child finds zeros in such memory."""


class ForkMark:
    """False at first, and in each forked child; true after ``set``.

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
