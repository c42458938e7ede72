"""Clocks for a test's processes that are wrong, from the start or from one moment on."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import PROCESS_TIMEOUT_S

SOURCE = Path(__file__).with_name("wrong_clock.c")


class Clock:
    """A clock of the wall that can be set while processes go by it. Right at first."""

    def __init__(self, folder: Path) -> None:
        self._library = _compile(folder)
        self._file = folder / "wrong_clock"
        self._file.write_bytes(bytes(8))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that goes by it."""
        return {"LD_PRELOAD": str(self._library), "WRONG_CLOCK": str(self._file)}

    def set_ahead(self, hours: float) -> None:
        """Let it be ahead of the machine's own by this much; behind it, if below 0."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", round(hours * 3600)))


def _compile(folder: Path) -> Path:
    """The library that processes preload; without a compiler, CI fails and a laptop skips."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        message = "Wrong clocks need Linux and a C compiler: apt-get install gcc libc6-dev"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    library = folder / "wrong_clock.so"
    subprocess.run(
        [compiler, "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"],
        check=True,
        timeout=PROCESS_TIMEOUT_S,
    )
    return library
