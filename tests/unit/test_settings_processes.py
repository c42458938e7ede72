"""Each process judges the settings that it reads: what others read wrongly does not stop it."""

import logging
from typing import Any

import pytest

from bridge.model.errors import SettingsError
from bridge.settings import (
    DECLARATIONS,
    PROCESSES,
    SETTINGS_OF,
    GatewaySettings,
    Process,
    ProducerSettings,
    Settings,
    environment_name,
    load_settings,
    read_settings,
    readers_of,
)
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


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_is_given_what_it_reads_and_nothing_else(process: Process) -> None:
    settings = load_settings({"BRIDGE_PREFIX": "shop:"}, for_=SETTINGS_OF[process])
    assert type(settings) is SETTINGS_OF[process]
    assert settings == SETTINGS_OF[process](prefix="shop:")  # type: ignore[call-arg]
    assert vars(settings).keys() == {name for name in DECLARATIONS if process in readers_of(name)}
    assert isinstance(Settings(), SETTINGS_OF[process])


def test_a_process_judges_by_its_own_class_what_it_reads() -> None:
    wrong = {"BRIDGE_JWT_SECRET": "short", "BRIDGE_OPS_PORT": "x", "BRIDGE_WORKER_CONCURRENCY": "x"}
    assert load_settings(wrong, for_=ProducerSettings) == ProducerSettings()
    with pytest.raises(SettingsError) as caught:
        load_settings(wrong, for_=GatewaySettings)
    assert str(caught.value).count("BRIDGE_") == 1
    with pytest.raises(ValueError, match="BRIDGE_JWT_SECRET must have at least 32 bytes"):
        GatewaySettings(jwt_secret="short")


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


def test_an_override_is_judged_whoever_reads_it() -> None:
    values: dict[str, Any] = {"gateway_port": 0}
    with pytest.raises(SettingsError, match="BRIDGE_GATEWAY_PORT"):
        load_settings({}, for_="producer", **values)
