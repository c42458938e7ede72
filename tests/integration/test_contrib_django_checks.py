"""The bridge among Django's applications: one settings.py for each process, and mistakes are sentences."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.support.processes import clean_environment, run
from tests.support.team_project import write_bridge_project

OK = '"REGISTRY": "team_catalog:registry", "REDIS_URL": "redis://127.0.0.1:1/0"'


def checked(folder: Path, bridge: str, *argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    project = write_bridge_project(folder, bridge)
    argv = argv or ("-m", "django", "check", "--fail-level", "WARNING")
    done = run([sys.executable, *argv], clean_environment({**project, **environment}), cwd=folder)
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("bridge", "ids", "sentence"),
    [
        ('"BROKER_ULR": 1, "REGISTRY": "team:x"', ["E001", "E002"], "did you mean BRIDGE_BROKER_URL?"),
        ("}, [].copy() and {", ["E001"], "BRIDGE must be a dict of settings, and is a tuple."),
        ('"REDIS_URL": "redis://127.0.0.1/0"', ["W003"], "A user of the catalog is a UUID, and the primary key of"),
        (OK, ["E003"], "the primary key of auth.User is a whole number.\n\tHINT: Give the Registry user_id=int."),
    ],
)
def test_each_mistake_of_settings_py_is_a_sentence_with_an_id(
    tmp_path: Path, bridge: str, ids: list[str], sentence: str
) -> None:
    done = checked(tmp_path, bridge)
    assert [line.partition("(bridge.")[2][:4] for line in done.stderr.splitlines() if "(bridge." in line] == ids
    assert sentence in done.stderr
    assert done.returncode == 1


def test_what_the_environment_overrules_is_named_without_its_value(tmp_path: Path) -> None:
    done = checked(tmp_path, OK, BRIDGE_REDIS_URL="redis://:secret@127.0.0.1:2/0")
    assert "(bridge.W002) BRIDGE_REDIS_URL of the environment wins over BRIDGE in settings.py" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import django; django.setup(); import bridge; assert bridge.flush(180)",  # orders emits before we are ready
        "from bridge.worker import app; from team_catalog import Placed; from uuid import UUID; import bridge; "
        "assert 'bridge.Placed' in app.tasks; assert bridge.emit(Placed(user_id=UUID(int=1))) and bridge.flush(180)",
    ],
)
def test_every_process_reads_the_settings_of_settings_py(
    tmp_path: Path, redis_url: str, redis_client: redis.Redis, code: str
) -> None:
    bridge = f'"REGISTRY": "team_catalog:registry", "REDIS_URL": "{redis_url}", "BROKER_URL": "{redis_url}"'
    emits = {"EMIT_WHEN_READY": "1"} if "setup" in code else {}
    done = checked(tmp_path, bridge, "-c", code, **emits)
    assert done.returncode == 0, done.stderr
    assert redis_client.llen("bridge.orders") == 1
