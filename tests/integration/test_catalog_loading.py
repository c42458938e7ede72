"""A catalog in the current folder, or one that imports Django's models, is found by every process in the same way."""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.processes import clean_environment
from tests.support.processes import run as run_forked
from tests.support.team_project import write_project
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

BIN = Path(sys.executable).parent
HAS_DJANGO = find_spec("django") is not None
NEEDS_DJANGO = pytest.mark.skipif(not HAS_DJANGO and not os.environ.get("CI"), reason="needs Django")
EMIT = "import bridge; bridge.configure(); from team_catalog import Placed; from uuid import UUID; "
EMIT += "assert bridge.emit(Placed(user_id=UUID(int=1))) and bridge.flush(180)"


def environment(**given: str) -> dict[str, str]:
    dropped = ("BRIDGE_", "PYTHONPATH", "DJANGO_")
    return {**{name: value for name, value in os.environ.items() if not name.startswith(dropped)}, **given}


def run(folder: Path, *argv: str, **given: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        argv,
        cwd=folder,
        env=environment(**given),
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
        check=False,
    )


WAYS = (
    ("sse-bridge", "check"),
    ("python", "-c", "from bridge.worker import app; assert 'bridge.Placed' in app.tasks"),
    ("python", "-c", "from bridge.gateway import app"),
    ("celery", "-A", "bridge.worker", "report"),
    ("sse-bridge", "registry"),
    ("python", "-m", "bridge.cli", "check"),
    ("python", "-c", "from bridge.ops import app"),
)


def of_both_kinds(ways: Sequence[Any], *, with_django: int) -> list[Any]:
    """Every way with a plain catalog and with one that imports models; of the latter all but the first are slow."""
    models = [
        pytest.param(True, way, marks=[NEEDS_DJANGO, *([pytest.mark.slow] if number >= with_django else [])])
        for number, way in enumerate(ways)
    ]
    return [*((False, way) for way in ways), *models]


def shown(value: object) -> str | None:
    return {True: "django", False: "plain"}[value] if isinstance(value, bool) else None


@pytest.mark.parametrize(("django", "argv"), of_both_kinds(WAYS, with_django=2), ids=shown)
def test_a_catalog_in_the_current_folder_is_found(tmp_path: Path, django: bool, argv: tuple[str, ...]) -> None:
    project = write_project(tmp_path, django=django)
    done = run(tmp_path, str(BIN / argv[0]), *argv[1:], **project, BRIDGE_GATEWAY_DEV="1")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("django", "pool"), of_both_kinds(["prefork", "solo", "threads"], with_django=1), ids=shown)
def test_a_worker_publishes_what_a_producer_in_that_folder_emits(
    tmp_path: Path, django: bool, pool: str, redis_url: str, redis_client: redis.Redis
) -> None:
    given = {**write_project(tmp_path, django=django), "BRIDGE_BROKER_URL": redis_url}
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [BIN / "celery", "-A", "bridge.worker", "worker", "-P", pool, "-l", "INFO"],
            cwd=tmp_path,
            env=environment(**given),
            stdout=log,
            stderr=log,
        )
    try:
        done = run(tmp_path, sys.executable, "-c", EMIT, **given)
        assert done.returncode == 0, done.stderr
        # The extractor imports another module of that folder when it runs.
        wait_until(
            lambda: redis_client.exists("sse:stream:user:{00000000-0000-0000-0000-000000000001}"),
            what=(tmp_path / "worker.log").read_text(),
        )
    finally:
        worker.terminate()
        worker.wait(PROCESS_TIMEOUT_S)


@NEEDS_DJANGO
def test_django_s_own_process_may_emit_while_it_gets_ready(
    tmp_path: Path, redis_url: str, redis_client: redis.Redis
) -> None:
    project = write_project(tmp_path, django=True)
    code = "import django; django.setup(); import bridge; assert bridge.flush(180)"
    done = run(tmp_path, sys.executable, "-c", code, **project, BRIDGE_BROKER_URL=redis_url, EMIT_WHEN_READY="1")
    assert done.returncode == 0, done.stderr
    assert redis_client.llen("bridge.orders") == 1


def test_django_is_left_alone_when_nobody_asks_for_it(tmp_path: Path) -> None:
    project = write_project(tmp_path)
    code = "import sys; from bridge import load_registry; load_registry('team_catalog:registry'); "
    assert run(tmp_path, sys.executable, "-c", code + "assert 'django' not in sys.modules", **project).returncode == 0


COMMANDS = (("bridge.cli", "check"), ("bridge.cli", "registry"), ("celery", "-A", "bridge.worker", "report"))
FAULTS = (
    (
        "import no_such_thing",
        "no module 'no_such_thing', which is imported in {folder}/team_catalog.py:1. Install it",
    ),
    ("1 / 0", "ZeroDivisionError: division by zero (in {folder}/team_catalog.py:1)"),
    ("def broken(:\n  pass", "SyntaxError: "),
    ("import sys\nsys.exit('no')", "SystemExit: no (in {folder}/team_catalog.py:2)"),
    (
        "try:\n  {}['key']\nexcept KeyError as e:\n  raise RuntimeError('no key\\nforged') from e",
        "RuntimeError: no key\\nforged, because of KeyError: 'key' (in {folder}/team_catalog.py:2)",
    ),
    ("raise OSError('no database at pg://app:hunter2@db')", "OSError: no database at pg://app:***@db (in "),
    ("import json\njson.loads('{')", "(in {folder}/team_catalog.py:2)"),
)
EVERY = list(product(FAULTS, COMMANDS))
SAMPLE = [(fault, COMMANDS[place % len(COMMANDS)]) for place, fault in enumerate(FAULTS)]


@pytest.mark.parametrize(
    ("fault", "argv"),
    [pytest.param(*way, marks=[] if way in SAMPLE else pytest.mark.slow) for way in EVERY],
)
def test_a_catalog_that_cannot_be_imported_is_one_sentence_with_the_place(
    tmp_path: Path, fault: tuple[str, str], argv: tuple[str, ...]
) -> None:
    text, said = fault
    (tmp_path / "team_catalog.py").write_text(text)
    given = clean_environment({"BRIDGE_REGISTRY": "team_catalog:registry"})
    done = run_forked([sys.executable, "-m", *argv], given, cwd=tmp_path)
    assert done.returncode != 0
    assert said.format(folder=tmp_path.resolve()) in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@NEEDS_DJANGO
def test_django_settings_that_fail_are_one_sentence(tmp_path: Path) -> None:
    project = write_project(tmp_path, django=True)
    (tmp_path / "team_settings.py").write_text("raise LookupError('no secret key')")
    done = run(tmp_path, str(BIN / "sse-bridge"), "registry", **project)
    assert done.returncode == 2
    assert "Django could not be set up" in done.stderr
    assert "LookupError: no secret key (in " in done.stderr
    assert "Traceback" not in done.stderr
