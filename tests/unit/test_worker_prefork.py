"""The pipe to a pool process: wide where the system can, and as it was where it cannot."""

import fcntl
import os
import sys
from collections.abc import Iterator

import pytest

from bridge.celery_runtime import prefork


@pytest.fixture
def pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can say how much a pipe holds")
def test_a_bundle_fits_into_the_pipe_at_once(pipe: int) -> None:
    prefork._widen(pipe, prefork.PIPE_BYTES)
    assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) == prefork.PIPE_BYTES
    os.set_blocking(pipe, False)
    assert os.write(pipe, bytes(prefork.PIPE_BYTES)) == prefork.PIPE_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can say how much a pipe holds")
def test_a_pipe_is_never_made_smaller(pipe: int) -> None:
    before = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
    prefork._widen(pipe, 4096)
    assert fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) == before


def test_a_system_that_grants_no_more_is_no_trouble(pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("this user's pipes hold enough")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    prefork._widen(pipe, prefork.PIPE_BYTES)
