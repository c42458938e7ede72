"""check --connect runs every script that there is, as its header says; and the rights cover what scripts do."""

import re
from pathlib import Path

import pytest

import bridge.redis_adapter
from bridge.redis_adapter.acl_rights import rights_of
from bridge.redis_adapter.preflight.scripts import _CALLS, scripts_of
from bridge.redis_adapter.script import script
from bridge.settings import PROCESSES, Process, Settings

ALL = {path.stem for path in (Path(str(bridge.redis_adapter.__file__)).parent / "scripts").glob("*.lua")} - {"prelude"}


def test_every_script_is_run_for_some_process() -> None:
    run = {name for process in PROCESSES for name in scripts_of(process, on_broker=False, one_server=True)}
    assert run == ALL


def test_a_broker_of_its_own_gets_the_scripts_of_queues_alone() -> None:
    assert scripts_of("worker", on_broker=True, one_server=False)[0] == "send"
    assert "settle" in scripts_of("worker", on_broker=False, one_server=False)
    assert "claim" not in scripts_of("worker", on_broker=False, one_server=False)


@pytest.mark.parametrize("name", sorted(_CALLS))
def test_a_script_gets_the_arguments_that_its_header_lists(name: str) -> None:
    listed = re.findall(r"^-- ARGV\[(\d+)\]", script(name).text, re.MULTILINE)
    assert len(_CALLS[name]) >= len(listed)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_rights_cover_every_command_of_the_scripts(process: Process) -> None:
    rights = rights_of(process, Settings())["redis"].commands
    for name in scripts_of(process, on_broker=False, one_server=True):
        called = set(re.findall(r"(?:call|try)\('([A-Z]+)'", script(name).text))
        wanted = {"xinfo|stream" if command == "XINFO" else command.lower() for command in called}
        assert wanted <= set(rights), name
