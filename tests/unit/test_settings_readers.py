"""Who reads a setting is said where it is declared, and the code agrees: nobody reads more, and nothing is unread."""

import re

import pytest
from celery import Celery

from bridge.catalogs.finance import REGISTRY
from bridge.celery_runtime.app import create_app as create_worker
from bridge.gateway import create_app as create_gateway
from bridge.ops import create_ops_app
from bridge.producer import Emitter
from bridge.settings import (
    DECLARATIONS,
    PROCESSES,
    SETTINGS_OF,
    GatewaySettings,
    OpsSettings,
    Process,
    ProducerSettings,
    WorkerSettings,
    environment_name,
    readers_of,
)
from tests.support.settings_reads import ROOT, Read, reached_from, reads, settings_behind, trees

DOORS: dict[Process, tuple[str, ...]] = {
    "producer": ("bridge.producer.emitter",),
    "worker": ("bridge.celery_runtime.configured_app",),
    "gateway": ("bridge.gateway.configured_app", "bridge.cli.gateway"),
    "ops": ("bridge.ops.configured_app", "bridge.cli.ops"),
    "cli": tuple(
        f"bridge.cli.{name}" for name in ("status", "audit", "trace", "dead", "retries", "queues", "registry")
    ),
}
"""Where a process begins."""
ROOMS: dict[str, Process] = {
    "bridge.producer": "producer",
    "bridge.worker": "worker",
    "bridge.celery_runtime": "worker",
    "bridge.gateway": "gateway",
    "bridge.ops": "ops",
    "bridge.operations": "cli",
}
"""Code that runs in one process alone, and what operators do by a command or on their page."""


def test_the_code_is_searched_where_settings_are_read() -> None:
    read = {name for one in reads() for name in settings_behind(one.name)}
    assert read == DECLARATIONS.keys()
    assert settings_behind("queue_prefix") == {"broker_keyprefix", "prefix"}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_reads_each_setting_that_is_declared_as_read_by_it(process: Process) -> None:
    code = reached_from(*DOORS[process])
    readable = [one for one in reads() if one.module in code and issubclass(SETTINGS_OF[process], one.part)]
    read = {name for one in readable for name in settings_behind(one.name)}
    assert {name for name in DECLARATIONS if process in readers_of(name)} == read


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_takes_the_settings_of_its_process_and_no_others(room: str) -> None:
    assert [one for one in _reads_in(room) if not issubclass(SETTINGS_OF[ROOMS[room]], one.part)] == []


def test_nothing_is_read_of_settings_that_do_not_have_it() -> None:
    assert [one for one in reads() if not hasattr(one.part, one.name)] == []


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_setting_is_declared_in_one_place(name: str) -> None:
    declared = re.compile(rf"^    {name}: ", re.MULTILINE)
    places = [path for path in (ROOT / "settings").glob("*.py") if declared.search(path.read_text())]
    assert len(places) == 1
    others = [path for path in (ROOT / "settings").glob("*.py") if path not in places]
    lists = [path.name for path in others if re.search(rf'"{name}"|"{environment_name(name)}"', path.read_text())]
    assert lists == []


def test_each_process_is_built_from_what_it_reads() -> None:
    assert not Emitter(ProducerSettings(), REGISTRY).counts["accepted"]
    assert isinstance(create_worker(WorkerSettings(), REGISTRY), Celery)
    assert create_gateway(GatewaySettings(gateway_dev=True), REGISTRY).routes
    assert create_ops_app(OpsSettings(ops_token="x" * 16), REGISTRY).routes


def _reads_in(room: str) -> list[Read]:
    assert any(module.startswith(f"{room}.") for module in trees())
    return [one for one in reads() if one.module.startswith(f"{room}.")]
