"""A temporary folder of ours: gone with its process, however that ends, and nothing else with it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge.local.temporary_folder import OwnFolder
from tests.support.waiting import PATIENCE

HOLDER = """
import sys, time
from bridge.local.temporary_folder import OwnFolder
folder = OwnFolder("bridge-test-")
(folder.path / "inner").mkdir()
(folder.path / "inner" / "file").write_text("x")
(folder.path / "link").symlink_to(sys.argv[1])
print(folder.path, flush=True)
time.sleep(60)
"""


def wait_until_removed(folder: Path, timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s * PATIENCE
    while folder.exists():
        assert time.monotonic() < deadline, f"{folder} is still there"
        time.sleep(0.02)


def test_it_is_removed_at_the_end_and_its_sweeper_with_it() -> None:
    with OwnFolder("bridge-test-") as folder:
        (folder.path / "file").write_text("x")
        sweeper = folder._sweeper
    assert not folder.path.exists()
    assert sweeper is None or sweeper.returncode == 0
    folder.remove()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no sweeper")
def test_it_is_removed_when_its_process_is_killed_but_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        assert folder.is_dir()
        holder.send_signal(signal.SIGKILL)
    wait_until_removed(folder)
    assert (tmp_path / "kept").exists()
