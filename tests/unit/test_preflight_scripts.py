"""check --connect runs every script that there is, of whoever runs it."""

from pathlib import Path

import bridge.broker
import bridge.store
from bridge.operations.preflight.scripts import scripts_of
from bridge.settings import PROCESSES


def test_every_script_is_run_for_some_process() -> None:
    folders = [Path(str(room.__file__)).parent / "scripts" for room in (bridge.store, bridge.broker)]
    there = {path.stem for folder in folders for path in folder.glob("*.lua")} - {"tokens"}  # a part of others
    run = {name for process in PROCESSES for name in scripts_of(process, on_broker=False, one_server=True)}
    assert run == there


def test_a_broker_of_its_own_gets_the_scripts_of_queues_alone() -> None:
    assert scripts_of("worker", on_broker=True, one_server=False)[0] == "send"
    assert "settle" in scripts_of("worker", on_broker=False, one_server=False)
    assert "claim" not in scripts_of("worker", on_broker=False, one_server=False)
