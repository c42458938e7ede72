"""A RabbitMQ of one's own, on free ports and in a folder that goes away with it, and virtual hosts on it."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest
from kombu import Connection

from bridge.local.redis_server import free_port
from tests.support.processes import wait_until_gone
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
SET_BOUND = {
    "memory": "vm_memory_monitor, set_vm_memory_high_watermark, [{}]",
    "disk": "rabbit_disk_monitor, set_disk_free_limit, [{}]",
}
"""What rabbitmqctl calls to set the bound of each alarm."""
BEYOND = {"memory": "0.0000001", "disk": '"1000000GB"'}
ENOUGH = {"memory": "0.4", "disk": '"1MB"'}
"""Bounds that every machine is beyond, and that none is."""
CALL = """
Ask = fun(M, F, A) -> case rpc:call('{node}', M, F, A) of {{badrpc, Why}} -> exit(Why); Answer -> Answer end end,
Wait = fun W() -> case Ask(rabbit_alarm, get_alarms, []) of {alarms} -> ok; _ -> timer:sleep(50), W() end end,
{calls}, halt().
"""
"""Calls inside the server. rabbitmqctl takes many times as long to start."""
ALL = {"configure": ".*", "write": ".*", "read": ".*"}
RIGHTS = """Ask(rabbit_auth_backend_internal, set_permissions,
    [<<"{user}">>, <<"{host}">>, <<"{configure}">>, <<"{write}">>, <<"{read}">>, <<"test">>])"""
NEW_HOST = f"""Ask(rabbit_vhost, add, [<<"{{host}}">>, <<"test">>]), {RIGHTS}"""
NEW_USER = f"""Ask(rabbit_auth_backend_internal, add_user, [<<"{{user}}">>, <<"secret">>, <<"test">>]), {RIGHTS}"""


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """A running broker.

    Attributes:
        url: its amqp:// address, of one virtual host.
        environment: of its own tools.
    """

    url: str
    environment: dict[str, str]

    @contextmanager
    def alarm(self, kind: str) -> Iterator[None]:
        """Meanwhile it accepts nothing, for want of memory or of disk."""
        self._set_bound(SET_BOUND[kind].format(BEYOND[kind]), alarms="[_ | _]")
        try:
            yield
        finally:
            self._set_bound(SET_BOUND[kind].format(ENOUGH[kind]), alarms="[]")

    def with_a_new_host(self) -> Self:
        """The same broker, with a virtual host that is empty."""
        host = f"host-{uuid4()}"
        self._call(NEW_HOST.format(user="guest", host=host, **ALL))
        return replace(self, url=f"{self.url.rpartition('/')[0].rstrip('/')}/{host}")

    def add_user(self, user: str, **rights: str) -> None:
        """One with the password "secret"; ``configure``, ``write`` and ``read`` match names of this virtual host."""
        self._call(NEW_USER.format(user=user, host=self._host, **ALL | rights))

    def permit_all(self, user: str) -> None:
        """Give a user every right on this virtual host."""
        self._call(RIGHTS.format(user=user, host=self._host, **ALL))

    @property
    def _host(self) -> str:
        return self.url.rpartition("/")[2] or "/"

    def _set_bound(self, call: str, *, alarms: str) -> None:
        """Wait until the alarms are as given, too."""
        self._call(f"Ask({call}), Wait()", alarms=alarms)

    def _call(self, calls: str, *, alarms: str = "_") -> None:
        program = CALL.format(node=self.environment["RABBITMQ_NODENAME"], calls=calls, alarms=alarms)
        arguments = ["+S", "1:1", "+sbwt", "none", "-noinput", "-hidden", "-sname", f"test{os.getpid()}@localhost"]
        subprocess.run(
            ["erl", *arguments, "-eval", program], env=self.environment, timeout=PROCESS_TIMEOUT_S, check=True
        )


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
    server, process = _started(folder)
    try:
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PROCESS_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        _end_port_mapper(server)


def shared_server(folder: Path) -> RabbitMQ:
    """A broker for several processes: the first starts it, and ``end_shared_server`` ends it."""
    with (folder / "rabbitmq.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (said := folder / "rabbitmq.json").exists():
            server, process = _started(folder)
            said.write_text(json.dumps({"pid": process.pid, "url": server.url, "environment": server.environment}))
            _kept.append(process)
    found = json.loads(said.read_text())
    return RabbitMQ(found["url"], found["environment"])


_kept: "list[subprocess.Popen[bytes]]" = []
"""What this process started and does not end."""


def end_shared_server(folder: Path) -> None:
    """End it, if anybody started it."""
    if not (said := folder / "rabbitmq.json").exists():
        return
    found = json.loads(said.read_text())
    with suppress(ProcessLookupError):
        os.killpg(found["pid"], signal.SIGTERM)
    wait_until_gone({"rabbitmq": found["pid"]})
    _end_port_mapper(RabbitMQ(found["url"], found["environment"]))


def _started(folder: Path) -> "tuple[RabbitMQ, subprocess.Popen[bytes]]":
    port = free_port()
    url = f"amqp://guest:guest@127.0.0.1:{port}//"
    log = folder / "rabbitmq.log"
    environment = _environment(folder, port)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(find_rabbitmq())], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_until(lambda: _answers(url) or process.poll() is not None, what="RabbitMQ is ready")
        assert process.poll() is None, log.read_text()[-2000:]
    except BaseException:
        process.kill()
        process.wait()
        raise
    return RabbitMQ(url, environment), process


def _end_port_mapper(server: RabbitMQ) -> None:
    """Erlang's is a daemon of its own and outlives the server."""
    subprocess.run(
        ["epmd", "-kill"], env=server.environment, capture_output=True, check=False, timeout=PROCESS_TIMEOUT_S
    )


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
        "RABBITMQ_CTL_ERL_ARGS": "+S 1:1 +sbwt none",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
    }
