"""``OwnFolder``: a temporary folder that is gone when its process is, even by kill -9; its sweeper is this same file.

As a script it imports nothing of bridge. Called as ``<this file> <folder>``, it waits until its stdin ends, which
the kernel sees to however its parent ends, and then removes the folder that its parent made.
"""

import subprocess
import sys
import time
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Self

SWEEP_TIMEOUT_S = 20.0
"""How long processes that are ending may still write into the folder."""
SWEEP_INTERVAL_S = 0.1


class OwnFolder:
    """A folder made now; ``remove`` it, or leave the context.

    Elsewhere than on Linux there is no sweeper: there the processes that use the folder outlive a kill -9, too.
    """

    def __init__(self, prefix: str) -> None:
        self._temporary = TemporaryDirectory(prefix=prefix)
        self.path = Path(self._temporary.name)
        self._sweeper = _start_sweeper(self.path) if sys.platform == "linux" else None

    def remove(self) -> None:
        """Remove it with all that is in it. Idempotent."""
        self._temporary.cleanup()
        sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            sweeper.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def _start_sweeper(folder: Path) -> "subprocess.Popen[bytes]":
    # A session of its own, and no output: Ctrl-C and a closed terminal must not reach it.
    return subprocess.Popen(  # noqa: S603  (a command of ours)
        [sys.executable, "-I", "-S", __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def sweep(folder: Path) -> None:
    """Wait until stdin ends, then remove the folder, if it is still there."""
    sys.stdin.buffer.read()
    deadline = time.monotonic() + SWEEP_TIMEOUT_S
    while folder.is_dir() and time.monotonic() < deadline:
        rmtree(folder, ignore_errors=True)
        time.sleep(SWEEP_INTERVAL_S if folder.is_dir() else 0)


if __name__ == "__main__":
    sweep(Path(sys.argv[1]))
