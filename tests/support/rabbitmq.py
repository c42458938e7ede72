"""A RabbitMQ of one's own for a test session, on free ports and in a folder that goes away with it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kombu import Connection

from bridge.embedded.server import free_port
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
ALARMS = {"memory": ("set_vm_memory_high_watermark", "0.4"), "disk": ("set_disk_free_limit", "1MB")}
"""How rabbitmqctl sets the bound of each alarm, and a bound at which there is none."""
SPENT = {"memory": "0.0000001", "disk": "1000000GB"}
"""Bounds that every machine is beyond."""


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """A running broker.

    Attributes:
        url: its amqp:// address.
        environment: of its own tools.
    """

    url: str
    environment: dict[str, str]

    @contextmanager
    def alarm(self, kind: str) -> Iterator[None]:
        """Meanwhile it accepts nothing, for want of memory or of disk."""
        command, enough = ALARMS[kind]
        self.control(command, SPENT[kind])
        wait_until(lambda: kind in self.control("eval", "rabbit_alarm:get_alarms()."), what=f"the {kind} alarm is on")
        try:
            yield
        finally:
            self.control(command, enough)
            wait_until(lambda: self.control("eval", "rabbit_alarm:get_alarms().").strip() == "[]", what="it is off")

    def control(self, *arguments: str) -> str:
        """What rabbitmqctl answers."""
        command = [str(find_rabbitmq().with_name("rabbitmqctl")), "--quiet", *arguments]
        answer = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PROCESS_TIMEOUT_S, check=False
        )
        assert answer.returncode == 0, answer
        return answer.stdout


def find_rabbitmq() -> Path:
    """The server program; without it, CI fails and a laptop skips."""
    found = SERVER if SERVER.exists() else shutil.which("rabbitmq-server")
    if found is None:
        message = "RabbitMQ is not installed: apt-get install rabbitmq-server"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)


@contextmanager
def running_rabbitmq(folder: Path) -> Iterator[str]:
    """The amqp:// address of a broker that is ready."""
    with running_server(folder) as server:
        yield server.url


@contextmanager
def running_server(folder: Path) -> Iterator[RabbitMQ]:
    """A broker that is ready."""
    port = free_port()
    url = f"amqp://guest:guest@127.0.0.1:{port}//"
    log = folder / "rabbitmq.log"
    environment = _environment(folder, port)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(find_rabbitmq())], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(
            lambda: _answers(url) or process.poll() is not None, timeout_s=START_TIMEOUT_S, what="RabbitMQ is ready"
        )
        assert process.poll() is None, log.read_text()[-2000:]
        yield RabbitMQ(url, environment)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PROCESS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # Erlang's port mapper is a daemon of its own and outlives the server.
        subprocess.run(["epmd", "-kill"], env=environment, capture_output=True, check=False, timeout=PROCESS_TIMEOUT_S)


def _answers(url: str) -> bool:
    try:
        with Connection(url, connect_timeout=2) as connection:
            connection.connect()
    except OSError:
        return False
    return True


def _environment(folder: Path, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_NODENAME": f"bridge-test-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CTL_DIST_PORT_MIN": str(ctl := free_port()),
        "RABBITMQ_CTL_DIST_PORT_MAX": str(ctl),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
    }
