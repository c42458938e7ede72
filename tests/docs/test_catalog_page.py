"""docs/catalog.md: both ways of adding an event type work as written, from emit to the browser's frame."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bridge.local.redis_server import EmbeddedServer
from tests.support.gateway import Listener, running_gateway
from tests.support.waiting import PROCESS_TIMEOUT_S
from tests.support.worker import ROOT, clean_environment, running_worker

PAGE = (ROOT / "docs" / "catalog.md").read_text()
ADOPTERS, _, CONTRIBUTORS = PAGE.partition("\n## In the built-in catalog\n")
DATA = {"file_name": "may.csv", "file_url": "https://files.example/may.csv", "record_count": 42}
EMIT = """
import sys
from uuid import UUID
from bridge import emit, flush
from {module} import FileExportSucceeded
event = FileExportSucceeded(
    user_id=UUID(sys.argv[1]), file_name="may.csv", file_url="https://files.example/may.csv", record_count=42
)
assert emit(event) and flush()
"""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def patch(file: Path, diff: str) -> None:
    """Put the lines marked with + behind the others, which must occur once."""
    before = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] == " ")
    added = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] == "+")
    text = file.read_text()
    place = text.rindex(before) + len(before)
    file.write_text(text[:place] + added + text[place:])


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


def frame_of_an_export(folder: Path, environment: dict[str, str], *, module: str, cwd: Path) -> tuple[str, object]:
    """Emit one, with a worker and a gateway of this set-up; what the browser receives."""
    user: UUID = uuid4()
    with ExitStack() as running:
        running.enter_context(running_worker(folder, environment, cwd=cwd))
        gateway = running.enter_context(running_gateway(folder, environment, cwd=cwd))
        listener = Listener(gateway, user, categories="import")
        running.callback(listener.close)
        subprocess.run(
            [sys.executable, "-c", EMIT.format(module=module), str(user)],
            cwd=cwd,
            env=clean_environment() | environment,
            check=True,
            timeout=PROCESS_TIMEOUT_S,
        )
        (event,) = listener.wait_for(1)
        return str(event.event), json.loads(event.data)


def test_a_team_adds_a_type_beside_the_built_in_ones_without_a_fork(server: EmbeddedServer, tmp_path: Path) -> None:
    package = tmp_path / "yourpackage"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "catalog.py").write_text("\n\n".join(blocks(ADOPTERS, "python")))
    environment = {
        "BRIDGE_BROKER_URL": server.url,
        "BRIDGE_REGISTRY": "yourpackage.catalog:registry",
        "PYTHONPATH": str(tmp_path),
    }
    frame = frame_of_an_export(tmp_path, environment, module="yourpackage.catalog", cwd=ROOT)
    assert frame == ("export.completed", DATA)


def test_a_contributor_adds_a_type_to_the_built_in_catalog_in_three_steps(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "bridge", tmp_path / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    files = re.findall(r"`(bridge/[\w/]+\.py)`", CONTRIBUTORS.partition("\nThen run")[0])
    diffs = blocks(CONTRIBUTORS, "diff")
    assert len(diffs) == len(files) == 4
    for file, diff in zip(files, diffs, strict=True):
        patch(tmp_path / file, diff)
    environment = {"BRIDGE_BROKER_URL": server.url, "PYTHONPATH": str(tmp_path)}
    frame = frame_of_an_export(tmp_path, environment, module="bridge.catalogs.finance.events", cwd=tmp_path)
    assert frame == ("export.completed", DATA)
