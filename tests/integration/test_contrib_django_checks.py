"""The bridge among Django's applications: one settings.py for each process, and mistakes are sentences."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.support.processes import clean_environment, run
from tests.support.team_project import write_bridge_project, write_project

ON_SQLITE = """
_FILE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}
DATABASES = {
    "default": _FILE,
    "safe": {**_FILE, "OPTIONS": {"transaction_mode": "immediate"}},
    "in_memory": {**_FILE, "NAME": ":memory:"},
}
"""
USE = {
    "with_bridge": "from bridge.contrib.django import with_bridge; with_bridge(print)",
    "emit_on_commit": "from bridge.contrib.django import emit_on_commit; emit_on_commit(1, using='default')",
}
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
        (OK, ["E003"], "is a whole number.\n\tHINT: Give the Registry, or catalog_of, user_id=int."),
    ],
)
def test_each_mistake_of_settings_py_is_a_sentence_with_an_id(
    tmp_path: Path, bridge: str, ids: list[str], sentence: str
) -> None:
    done = checked(tmp_path, bridge)
    assert [line.partition("(bridge.")[2][:4] for line in done.stderr.splitlines() if "(bridge." in line] == ids
    assert sentence in done.stderr
    assert done.returncode == 1


def test_a_database_of_sqlite_is_to_begin_with_writing(tmp_path: Path) -> None:
    project = write_bridge_project(tmp_path, OK)
    with (tmp_path / "team_settings.py").open("a") as settings:
        settings.write(ON_SQLITE)
    done = run([sys.executable, "-m", "django", "check"], clean_environment(project), cwd=tmp_path)
    assert done.stderr.count("(bridge.W005)") == 1
    assert "Transactions with emit_on_commit may fail on 'default': database is locked." in done.stderr
    assert """HINT: Add "transaction_mode": "IMMEDIATE" to the OPTIONS of DATABASES['default'].""" in done.stderr


@pytest.mark.parametrize("name", USE)
def test_a_project_without_the_application_is_told(tmp_path: Path, name: str) -> None:
    project = write_project(tmp_path, django=True)
    code = f"import django; django.setup(); {USE[name]}"
    done = run([sys.executable, "-c", code], clean_environment(project), cwd=tmp_path)
    assert done.returncode == 1
    assert f'SettingsError: {name} needs "bridge.contrib.django" in INSTALLED_APPS of settings.py.' in done.stderr


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
