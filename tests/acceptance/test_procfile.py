"""``honcho start``: the Procfile runs a whole bridge, consumes every queue of the registry, and ends cleanly."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import pytest

from bridge.catalogs.finance.catalog import REGISTRY
from bridge.local.redis_server import EmbeddedServer, free_port
from bridge.producer import Emitter
from bridge.settings import Settings
from bridge.worker import create_app
from tests.support import producer
from tests.support.gateway import SECRET, Listener
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import ROOT, clean_environment

HONCHO = """
from honcho import manager
from honcho.command import main

manager.KILL_WAIT = {wait_s}  # instead of 5 s, which a worker may want to end on a busy machine
main()
"""


class Honcho:
    """``honcho start`` in the repository, with its log in a file."""

    def __init__(self, server: EmbeddedServer, log: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = log
        # The commands of a Procfile are looked up on PATH.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", HONCHO.format(wait_s=PROCESS_TIMEOUT_S / 2), "start", "--no-colour"],
                cwd=ROOT,
                env={
                    **clean_environment(),
                    "PATH": path,
                    "BRIDGE_BROKER_URL": server.url,
                    "BRIDGE_GATEWAY_PORT": self.url.rpartition(":")[2],
                    "BRIDGE_JWT_SECRET": SECRET,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def is_ready(self) -> bool:
        try:
            answers = httpx.get(self.url + "/health/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False
        return answers and " ready." in self.text()


@contextmanager
def running_honcho(server: EmbeddedServer, log: Path) -> Iterator[Honcho]:
    honcho = Honcho(server, log)
    try:
        wait_until(lambda: honcho.is_ready() or honcho.process.poll() is not None, what="all ready")
        assert honcho.process.poll() is None, honcho.text()
        yield honcho
    except AssertionError:
        print(honcho.text())
        raise
    finally:
        if honcho.process.poll() is None:
            honcho.process.send_signal(signal.SIGTERM)
            honcho.process.wait(PROCESS_TIMEOUT_S)


@pytest.fixture
def honcho(redis_server: EmbeddedServer, redis_url: str, tmp_path: Path) -> Iterator[Honcho]:
    with running_honcho(redis_server, tmp_path / "honcho.log") as honcho:
        yield honcho


def test_every_queue_of_the_registry_is_consumed(honcho: Honcho, settings: Settings) -> None:
    inspect = create_app(settings, REGISTRY).control.inspect(timeout=10, limit=1)

    [consumed] = inspect.active_queues().values()

    assert sorted(queue["name"] for queue in consumed) == sorted(REGISTRY.queues)


def test_an_event_of_every_category_reaches_its_user(honcho: Honcho, settings: Settings) -> None:
    user_id = uuid4()
    listener = Listener(honcho.url, user_id)
    emitter = Emitter(settings, REGISTRY)

    assert emitter.emit_many(producer.catalog(user_id)) == len(REGISTRY.mappings)

    arrived = {REGISTRY.category_of(REGISTRY.parse_type(event.event)) for event in listener.wait_for(25)}
    assert arrived == set(REGISTRY.categories)
    emitter.close()
    listener.close()


def test_it_stops_when_told_and_leaves_no_process_behind(honcho: Honcho) -> None:
    processes = psutil.Process(honcho.process.pid).children(recursive=True)

    honcho.process.send_signal(signal.SIGTERM)
    honcho.process.wait(PROCESS_TIMEOUT_S)

    log = honcho.text()
    assert not [process for process in processes if process.is_running()], log
    assert "worker.1 stopped (rc=0)" in log, log
    assert "SIGKILL" not in log, log
    assert "Traceback" not in log, log
