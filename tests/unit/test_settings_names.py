"""Names that begin like ours: a platform injects some, others are foreign, and some are mistyped settings."""

import logging

import pytest

from bridge.model.errors import SettingsError
from bridge.settings import PROCESSES, Process, Settings, load_settings, read_settings
from bridge.settings.processes import DECLARATIONS
from tests.support.naming import shown

SECRET = "hunter2-" * 5

SERVICES = ("BRIDGE", "BRIDGE_GATEWAY", "BRIDGE_OPS", "BRIDGE_WORKER", "BRIDGE_REDIS", "BRIDGE_JWT")


def kubernetes(service: str, address: str = "10.0.0.7") -> dict[str, str]:
    host = f"[{address}]" if ":" in address else address
    return {
        f"{service}_SERVICE_HOST": address,
        f"{service}_SERVICE_PORT": "8000",
        f"{service}_SERVICE_PORT_HTTP": "8000",
        f"{service}_SERVICE_PORT_HTTP_METRICS": "9000",
        f"{service}_PORT": f"tcp://{host}:8000",
        f"{service}_PORT_8000_TCP": f"tcp://{host}:8000",
        f"{service}_PORT_8000_TCP_PROTO": "tcp",
        f"{service}_PORT_8000_TCP_PORT": "8000",
        f"{service}_PORT_8000_TCP_ADDR": address,
        f"{service}_PORT_53_UDP": f"udp://{host}:53",
        f"{service}_PORT_53_UDP_PROTO": "udp",
        f"{service}_PORT_53_UDP_PORT": "53",
        f"{service}_PORT_53_UDP_ADDR": address,
    }


def docker_link(alias: str) -> dict[str, str]:
    return {
        f"{alias}_NAME": "/shop/bridge-gateway",
        f"{alias}_PORT": "tcp://172.17.0.5:8000",
        f"{alias}_PORT_8000_TCP": "tcp://172.17.0.5:8000",
        f"{alias}_PORT_8000_TCP_START": "tcp://172.17.0.5:8000",
        f"{alias}_PORT_8000_TCP_END": "tcp://172.17.0.5:8003",
        f"{alias}_PORT_8000_TCP_PORT_START": "8000",
        f"{alias}_ENV_JWT_SECRET": SECRET,
        f"{alias}_ENV_PATH": "/bin",
    }


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("address", ["10.0.0.7", "fd00::7"])
def test_what_kubernetes_injects_is_left_alone(
    process: Process, service: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert load_settings(kubernetes(service, address), for_=process) == Settings()
    assert not caplog.records


@pytest.mark.parametrize("alias", SERVICES)
def test_what_a_linked_container_injects_is_left_alone(alias: str, caplog: pytest.LogCaptureFixture) -> None:
    environ = docker_link(alias)
    with caplog.at_level(logging.INFO):
        assert load_settings(environ) == Settings()
        for name, value in environ.items():  # tools hand on a part of it, too
            assert load_settings({name: value}) == Settings()
        assert load_settings({f"{alias}_ENV_CERTIFICATE": "x" * 5_000}) == Settings()
    assert not caplog.records


def test_no_setting_is_named_as_what_a_link_injects() -> None:
    assert not [name for name in DECLARATIONS if "_env_" in name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BRIDGE_GATEWAY_PORT", "nine"),
        ("BRIDGE_GATEWAY_PORT", "tcp:8000"),
        ("BRIDGE_OPS_PORT", "http://10.0.0.7:80"),
        ("BRIDGE_OPS_PORT", "tcp://10.0.0.7:8000\nX"),
    ],
)
def test_a_name_of_that_form_with_another_value_is_judged(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be a whole number"):
        load_settings({name: value})


def test_a_real_port_is_read_beside_injected_ones() -> None:
    environ = {**kubernetes("BRIDGE_OPS"), "BRIDGE_GATEWAY_PORT": "9000"}
    assert load_settings(environ, for_="gateway").gateway_port == 9000


FOREIGN = ["API_KEY", "XYZZY", "APP_TOKEN", "URL", "ENV", "GATEWAY_ENV", "BROKER_URL_STAGING", "STREAM_MAX_LEN", ""]


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_or_newer_name_is_a_warning(process: Process, name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert load_settings({f"BRIDGE_{name}": SECRET}, for_=process) == Settings()
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"BRIDGE_{name} is not a setting of this version" in said
    assert "hunter2" not in said


def test_a_warning_names_the_nearest_setting() -> None:
    (remark,) = read_settings({"BRIDGE_STREAM_MAX_LEN": "5"}).remarks
    assert remark.endswith("did you mean BRIDGE_STREAM_MAXLEN?")


MISTYPED = [
    ("JWT_SECRT", "JWT_SECRET", {"gateway"}),
    ("JTW_SECRET", "JWT_SECRET", {"gateway"}),
    ("SECRET_JWT", "JWT_SECRET", {"gateway"}),
    ("JWTSECRET", "JWT_SECRET", {"gateway"}),
    ("JWT_AUD", "JWT_AUDIENCE", {"gateway"}),
    ("JWKS_URL", "JWT_JWKS_URL", {"gateway"}),
    ("JWT_JWKS_URI", "JWT_JWKS_URL", {"gateway"}),
    ("GATEWAY_CORS_ORIGIN", "GATEWAY_CORS_ORIGINS", {"gateway"}),
    ("CORS_ORIGINS", "GATEWAY_CORS_ORIGINS", {"gateway"}),
    ("GATEWAY_CORS", "GATEWAY_CORS_ORIGINS", {"gateway"}),
    ("GATEWAY_DVE", "GATEWAY_DEV", {"gateway"}),
    ("OPS_TOKENS", "OPS_TOKEN", {"ops"}),
    ("OPS_VIEWTOKEN", "OPS_VIEW_TOKEN", {"ops"}),
    ("BROKER_ULR", "BROKER_URL", set(PROCESSES)),
    ("BROKER_URI", "BROKER_URL", set(PROCESSES)),
    ("BROKER_DSN", "BROKER_URL", set(PROCESSES)),
    ("BROKER", "BROKER_URL", set(PROCESSES)),
    ("URL_BROKER", "BROKER_URL", set(PROCESSES)),
    ("REDIS_HOST", "REDIS_URL", set(PROCESSES)),
    ("REGISTERY", "REGISTRY", set(PROCESSES)),
    ("SPOOL_PATH", "SPOOL_DIR", {"producer"}),
    ("SPOOLDIR", "SPOOL_DIR", {"producer"}),
    ("BROKER_KEY_PREFIX", "BROKER_KEYPREFIX", {"producer", "worker", "ops", "cli"}),
]


@pytest.mark.parametrize(("name", "meant", "stopped"), MISTYPED, ids=shown)
def test_a_mistyped_name_that_matters_stops_whoever_reads_the_setting(
    name: str, meant: str, stopped: set[Process]
) -> None:
    said = f"BRIDGE_{name} is not a setting of this version; did you mean BRIDGE_{meant}?"
    for process in PROCESSES:
        reading = read_settings({f"BRIDGE_{name}": SECRET}, for_=process)
        assert (reading.faults, reading.remarks) == (([said], []) if process in stopped else ([], [said]))


@pytest.mark.parametrize("name", ["REDIS_HOST", "BROKER", "REDIS_DSN"])
def test_another_word_for_a_setting_that_is_set_is_no_fault(name: str) -> None:
    environ = {"BRIDGE_BROKER_URL": "redis://h", "BRIDGE_REDIS_URL": "redis://h", f"BRIDGE_{name}": "h"}
    assert not read_settings(environ).faults


def test_a_name_of_any_length_and_with_any_character_is_told_in_one_short_line() -> None:
    for name in ("BRIDGE_" + "JWT_" * 100_000, "BRIDGE_X\nFAKE", "BRIDGE_\x1b[2J"):
        (remark,) = read_settings({name: "1"}).remarks
        assert len(remark) < 250
        assert remark.isprintable()
