"""An environment that somebody else fills too: each real process starts, or refuses for what it reads itself."""

import subprocess
import sys

import pytest
import redis

from tests.support import processes
from tests.support.processes import clean_environment

NOISE = {
    "BRIDGE_GATEWAY_PORT": "tcp://10.0.0.7:8000",
    "BRIDGE_GATEWAY_SERVICE_HOST": "10.0.0.7",
    "BRIDGE_GATEWAY_PORT_8000_TCP_ADDR": "10.0.0.7",
    "BRIDGE_OPS_PORT": "tcp://10.0.0.8:8010",
    "BRIDGE_API_KEY": "hunter2",
    "BRIDGE_SETTING_OF_NEXT_YEAR": "1",
    "BRIDGE_GATEWAY_HEARTBEAT_S": "often",
}
PRODUCER = """
import bridge
from bridge.catalogs.finance.events import FileImportSucceeded
from uuid import uuid4
event = FileImportSucceeded(user_id=uuid4(), file_name="a", transaction_count=1)
assert bridge.emit(event) and bridge.flush(180)
"""


def run(*argv: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return processes.run([sys.executable, *argv], clean_environment(environ))


def test_a_producer_sends_whatever_others_have_in_the_environment(redis_url: str, redis_client: redis.Redis) -> None:
    done = run("-c", PRODUCER, **NOISE, BRIDGE_BROKER_URL=redis_url)
    assert done.returncode == 0, done.stderr
    assert redis_client.llen("bridge.import") == 1
    assert "BRIDGE_API_KEY is not a setting of this version" in done.stderr
    assert "SERVICE_HOST" not in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("name", ["BRIDGE_BROKER_ULR", "BRIDGE_REDIS_URI", "BRIDGE_REGISTERY", "BRIDGE_SPOOL_DIRS"])
def test_a_producer_whose_events_would_go_astray_says_so(redis_url: str, name: str) -> None:
    done = run("-c", PRODUCER, **{"BRIDGE_BROKER_URL": redis_url, name: "x"})
    assert done.returncode == 1
    assert "bridge.emitter.misconfigured" in done.stderr
    assert f"{name} is not a setting of this version; did you mean" in done.stderr


def test_a_worker_s_app_is_made_beside_a_wrong_setting_of_the_gateway(redis_url: str) -> None:
    done = run("-c", "from bridge.worker import app", **NOISE, BRIDGE_BROKER_URL=redis_url)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"BRIDGE_GATEWAY_HEARTBEAT_S": "often"}, "BRIDGE_GATEWAY_HEARTBEAT_S must be a number"),
        ({"BRIDGE_GATEWAY_CORS_ORIGIN": "https://a"}, "did you mean BRIDGE_GATEWAY_CORS_ORIGINS?"),
        ({"BRIDGE_JWT_SECRT": "x" * 40}, "did you mean BRIDGE_JWT_SECRET?"),
    ],
)
def test_a_gateway_refuses_what_is_wrong_of_its_own(redis_url: str, wrong: dict[str, str], said: str) -> None:
    for argv in (("-m", "bridge.cli", "gateway"), ("-c", "from bridge.gateway import app")):
        done = run(*argv, **wrong, BRIDGE_BROKER_URL=redis_url, BRIDGE_GATEWAY_DEV="1")
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_operators_commands_work_beside_it_all(redis_url: str) -> None:
    done = run("-m", "bridge.cli", "audit", **NOISE, BRIDGE_BROKER_URL=redis_url)
    assert done.returncode == 0, done.stderr
