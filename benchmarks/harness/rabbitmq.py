"""A RabbitMQ of one's own, on free ports and in a folder that goes away with it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.waiting import wait_until
from bridge.local.redis_server import free_port, is_taken

# Debian's program on PATH insists on its own user; the one behind it does not.
SERVERS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


def find_rabbitmq() -> str | None:
    """The server program; None if there is none."""
    return next((found for name in SERVERS if (found := shutil.which(name))), None)


@contextmanager
def running_rabbitmq() -> Iterator[str]:
    """The amqp:// address of a broker that is ready."""
    program = find_rabbitmq()
    if program is None:
        raise FileNotFoundError("RabbitMQ is not installed.")
    with tempfile.TemporaryDirectory(prefix="bench-rabbitmq-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        environment = _environment(folder, port)
        with (folder / "rabbitmq.log").open("ab") as output:
            process = subprocess.Popen([program], env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            wait_until(
                lambda: _greets(port) or process.poll() is not None, timeout_s=START_TIMEOUT_S, what="RabbitMQ is ready"
            )
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            # Erlang's port mapper is a daemon of its own and outlives the server.
            subprocess.run(["epmd", "-kill"], env=environment, capture_output=True, check=False, timeout=10)


def _greets(port: int) -> bool:
    """Whether it answers an AMQP header with its first frame, which it does only when it has booted."""
    if not is_taken(port):
        return False
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
    except OSError:
        return False


def _environment(folder: Path, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(free_port()),
        "RABBITMQ_NODENAME": f"bench-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none",
    }
