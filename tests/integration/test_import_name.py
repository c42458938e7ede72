"""``sse_bridge`` is another name of ``bridge``; and where that is a team's own package, ours works under the alias."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
import redis

from bridge import User
from bridge.redis_adapter import Keyspace
from tests.support.processes import assert_sentence, clean_environment
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import ROOT, running_worker

SAME = """
import pickle, sys
import sse_bridge.contrib.starlette
import sse_bridge, bridge
import bridge.contrib.starlette
from sse_bridge.catalogs.finance import FileImportSucceeded
from sse_bridge.worker import create_app
import bridge.worker

assert sse_bridge is bridge and sse_bridge.emit is bridge.emit
assert sys.modules["sse_bridge.contrib.starlette"] is bridge.contrib.starlette is sse_bridge.contrib.starlette
assert FileImportSucceeded is bridge.catalogs.finance.FileImportSucceeded
assert create_app is bridge.worker.create_app
assert bridge.contrib.starlette.__spec__.name == "bridge.contrib.starlette"
assert pickle.loads(pickle.dumps(FileImportSucceeded)) is FileImportSucceeded
assert pickle.loads(b"csse_bridge.producer.emitter\\nEmitter\\n.") is bridge.Emitter
try:
    import sse_bridge.nowhere
except ModuleNotFoundError:
    pass
"""
CATALOG = """
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID, uuid4

from bridge import MINE
from sse_bridge import DomainToSSEMapping, Registry, SSEEventMetadata


class Category(StrEnum):
    ORDERS = "orders"


class Type(StrEnum):
    PAID = "order.paid"


@dataclass(frozen=True, kw_only=True)
class OrderPaid:
    customer: UUID
    event_id: UUID = field(default_factory=uuid4)
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))


registry = Registry(
    event_types=Type,
    categories=Category,
    events=[SSEEventMetadata(Type.PAID, Category.ORDERS, "Paid", ("mine",))],
    mappings=[DomainToSSEMapping(OrderPaid, Type.PAID, lambda e: {"mine": MINE}, lambda e: e.customer)],
)
"""
EMIT = """
import uuid
import bridge
import sse_bridge
from bridge.catalog import OrderPaid

assert bridge.MINE == "theirs" and sse_bridge.emit.__module__ == "sse_bridge.producer.default"
sse_bridge.configure(strict=True)
assert sse_bridge.emit(OrderPaid(customer=uuid.UUID(int=1))) and sse_bridge.flush(180)
"""
COMMAND = "from sse_bridge.cli import main; main()"


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A folder with a package of that name, as a team may have one."""
    package = tmp_path / "team" / "bridge"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("MINE = 'theirs'\n")
    (package / "catalog.py").write_text(CATALOG)
    (package.parent / "app.py").write_text(EMIT)
    (tmp_path / "sse-bridge").write_text(COMMAND)
    return package.parent


def run(argv: Sequence[str | Path], folder: Path, **given: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        env=clean_environment(given),
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
    )


def test_both_names_are_of_the_same_modules(tmp_path: Path) -> None:
    done = run(["-c", SAME], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    version = run(["-m", "sse_bridge.cli", "--version"], tmp_path)
    assert version.stdout.startswith("sse-bridge, version"), version.stderr


def test_beside_a_teams_own_package_everything_works_under_the_alias(redis_url: str, team: Path) -> None:
    """The team's code imports its ``bridge`` and ours; so do the worker and the commands, which load the catalog."""
    given = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_REGISTRY": "bridge.catalog:registry"}
    done = run(["app.py"], team, **given)
    assert done.returncode == 0, done.stderr
    environment = clean_environment(given)
    with (
        redis.Redis.from_url(redis_url) as client,
        running_worker(team.parent, environment, app="sse_bridge.worker", cwd=team, from_nothing=True),
    ):
        wait_until(lambda: client.xlen(Keyspace().stream(User(UUID(int=1)))) == 1)
    command = team.parent / "sse-bridge"
    audit = run([command, "audit"], team, **given)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    check = run([command, "check", "--for", "worker"], team, **given)
    assert check.returncode == 0, check.stderr
    assert f"{team / 'bridge' / '__init__.py'} is another package named bridge" in " ".join(check.stdout.split())


def test_whoever_writes_bridge_where_it_is_another_package_is_told_which_and_what_to_write(team: Path) -> None:
    (team / "shop.py").write_text("from bridge import Registry\n")
    answer = run([team.parent / "sse-bridge", "check"], team, BRIDGE_REGISTRY="shop:registry", COLUMNS="1000")
    assert_sentence(answer, "cannot import name 'Registry'", str(team / "bridge"), "as sse_bridge", code=2)


def test_a_package_that_was_installed_over_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "sse_bridge").symlink_to(ROOT / "sse_bridge")
    overwritten = tmp_path / "bridge"
    overwritten.mkdir()
    for entry in (ROOT / "bridge").iterdir():
        if entry.name != "__init__.py":
            (overwritten / entry.name).symlink_to(entry)
    (overwritten / "__init__.py").write_text("")
    done = run(["-c", "import sse_bridge"], tmp_path, PYTHONPATH=os.fspath(tmp_path))
    assert f"ImportError: {overwritten / '__init__.py'} is not what sse-bridge installed there" in done.stderr
