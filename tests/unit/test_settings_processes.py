"""Each process judges the settings that it reads: what others read wrongly does not stop it."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge.model.errors import SettingsError
from bridge.settings import PROCESSES, Process, Settings, environment_name, load_settings, read_settings, readers_of
from tests.support.naming import shown

WRONG: dict[str, str] = {
    "gateway_port": "nine",
    "gateway_dev": "perhaps",
    "ops_port": "0",
    "emit_buffer_max": "-1",
    "spool_max_bytes": "1",
    "worker_concurrency": "many",
    "task_time_limit_s": "",
    "retry_attempts": "none",
    "stream_maxlen": "0",
    "event_max_bytes": "tiny",
    "broker_keyprefix": "a b",
}


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_stops_whoever_reads_it_and_warns_the_others(process: Process, field: str) -> None:
    name = environment_name(field)
    reading = read_settings({name: WRONG[field], "BRIDGE_BROKER_URL": "redis://h"}, for_=process)
    said = reading.faults if process in readers_of(field) else reading.remarks
    assert len(reading.faults) + len(reading.remarks) == 1
    assert said[0].startswith(f"{name} must ")
    assert reading.settings.broker_url == "redis://h"
    assert getattr(reading.settings, field) == getattr(Settings(), field)


@pytest.mark.parametrize(
    ("values", "sufferers"),
    [
        ({"jwt_secret": "x" * 31}, {"gateway"}),
        ({"gateway_dev": "1", "gateway_host": "0.0.0.0"}, {"gateway"}),
        ({"ops_token": "short"}, {"ops"}),
        ({"task_time_limit_s": "300"}, {"worker"}),
        ({"retry_base_s": "61"}, {"worker"}),
        ({"seen_ttl_s": "60"}, {"worker"}),
        ({"event_max_bytes": "300000"}, {"producer"}),
        ({"broker_url": "amqp://host"}, set(PROCESSES)),
        ({"broker_url": "sqs://host", "redis_url": "redis://h"}, set(PROCESSES) - {"gateway"}),
        ({"redis_url": "http://host"}, set(PROCESSES)),
    ],
    ids=shown,
)
def test_a_contradiction_is_a_fault_of_those_that_suffer(values: dict[str, str], sufferers: set[Process]) -> None:
    environ = {environment_name(field): text for field, text in values.items()}
    for process in PROCESSES:
        assert bool(read_settings(environ, for_=process).faults) == (process in sufferers), process
    with pytest.raises(SettingsError):
        load_settings(environ)


def test_values_that_are_right_are_kept_whoever_reads_them() -> None:
    assert load_settings({"BRIDGE_GATEWAY_PORT": "9"}, for_="producer").gateway_port == 9


def test_several_processes_are_judged_together() -> None:
    reading = read_settings({"BRIDGE_GATEWAY_PORT": "x", "BRIDGE_OPS_PORT": "x"}, for_=("worker", "gateway"))
    assert [fault.split()[0] for fault in reading.faults] == ["BRIDGE_GATEWAY_PORT"]


def test_a_process_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="There is no process browser; use producer, worker, gateway, ops, cli"):
        load_settings({}, for_="browser")  # type: ignore[arg-type]


def test_remarks_are_logged_as_warnings(caplog: pytest.LogCaptureFixture) -> None:
    load_settings({"BRIDGE_GATEWAY_PORT": "nine"}, for_="producer")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "only the gateway reads it" in record.getMessage()


ROOMS: dict[str, set[Process]] = {
    "producer": {"producer"},
    "worker": {"worker"},
    "gateway": {"gateway"},
    "ops": {"ops"},
    "operations": {"ops", "cli"},
}


@pytest.mark.parametrize("room", ROOMS)
def test_whoever_reads_a_setting_is_named_as_its_reader(room: str) -> None:
    folder = Path(str(bridge.__file__)).parent / room
    read = {name for path in folder.rglob("*.py") for name in re.findall(r"settings\.(\w+)", path.read_text())}
    for field in read & set(Settings.__struct_fields__):
        assert ROOMS[room] <= readers_of(field), field


@pytest.mark.parametrize("field", Settings.__struct_fields__)
def test_somebody_reads_every_setting(field: str) -> None:
    assert readers_of(field)


def test_an_override_is_judged_whoever_reads_it() -> None:
    values: dict[str, Any] = {"gateway_port": 0}
    with pytest.raises(SettingsError, match="BRIDGE_GATEWAY_PORT"):
        load_settings({}, for_="producer", **values)
