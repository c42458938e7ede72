"""Producers beside older Celery, kombu and redis-py keep what is promised of ``emit``; one worker publishes for all."""

import json
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import User
from bridge.local.redis_server import EmbeddedServer
from bridge.redis_adapter import Keyspace
from tests.support.processes import ROOT, clean_environment, run_cli
from tests.support.proxy import Proxy
from tests.support.sentinels import MASTER, running_sentinels
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import running_worker

ENVIRONMENTS = ROOT / ".venv-matrix"
ROWS = sorted(file.stem for file in Path(__file__).with_name("rows").glob("*.txt"))
BROKERS = ("redis", "rabbitmq", "sentinel")


@dataclass(frozen=True, slots=True)
class Place:
    """A broker with its worker, and its address, which producers reach through a line of their own."""

    environment: Mapping[str, str]
    broker_url: str
    redis_url: str

    @contextmanager
    def line(self) -> Iterator[tuple[Proxy, dict[str, str]]]:
        """A line that can be cut, and the environment of who uses it."""
        with line_to(self.broker_url) as (line, through):
            is_store = self.broker_url == self.redis_url
            store = {"BRIDGE_REDIS_URL": through} if is_store else {}
            yield line, {**self.environment, "BRIDGE_BROKER_URL": through, **store}


@contextmanager
def line_to(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before a server, and the server's address through it."""
    head, _, rest = url.rpartition("127.0.0.1:")
    port, slash, path = rest.partition("/")
    with Proxy(int(port), random.Random(port)) as line:
        yield line, f"{head}127.0.0.1:{line.port}{slash}{path}"


@pytest.fixture(params=BROKERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A broker of a kind, with a worker of this environment."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedServer())
        here, url = {"BRIDGE_REDIS_URL": server.url}, server.url
        if request.param == "rabbitmq":
            url = request.getfixturevalue("amqp_url")
        elif request.param == "sentinel":
            url = stack.enter_context(running_sentinels(tmp_path, server.port)).url
            here["BRIDGE_BROKER_SENTINEL_MASTER"] = MASTER
        here["BRIDGE_BROKER_URL"] = url
        stack.enter_context(running_worker(tmp_path, clean_environment(here)))
        yield Place(here, url, server.url)


@dataclass(slots=True)
class Row:
    """Producers in the environment of a row, one after the other, and what they accepted."""

    python: Path
    folder: Path
    environment: dict[str, str]
    user: str = field(default_factory=lambda: str(uuid4()))
    accepted: list[str] = field(default_factory=list)

    @contextmanager
    def producer(self, **more: str) -> Iterator[Callable[..., None]]:
        """A process that does what it is told; ended by SIGTERM when the block ends."""
        argv = [self.python, Path(__file__).with_name("producer.py"), self.user, f"sqlite:///{self.folder}/shop.sqlite"]
        environment = {**self.environment, **more}
        pipe = subprocess.PIPE
        with (
            (self.folder / "log").open("a") as log,
            subprocess.Popen(
                argv, env=environment, cwd=self.folder, stdin=pipe, stdout=pipe, stderr=log, text=True
            ) as process,
        ):
            try:
                yield lambda *commands: self._tell(process, commands)
                process.send_signal(signal.SIGTERM)
                assert process.wait(PROCESS_TIMEOUT_S) == 0, self.said()
            finally:
                process.kill()

    def _tell(self, process: "subprocess.Popen[str]", commands: Sequence[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        for command in commands:
            process.stdin.write(f"{command}\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, f"{command}: {self.said()}"
            self.accepted += json.loads(answer)

    def said(self) -> str:
        return (self.folder / "log").read_text()


def python_of(row: str) -> Path:
    """The row's Python, as .ci/matrix made it."""
    if not (ENVIRONMENTS / row / ".installed").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"there is no environment {row}: make matrix")
    return ENVIRONMENTS / row / "bin" / "python"


def environment_of(given: Mapping[str, str]) -> dict[str, str]:
    """Without the folder of this checkout: the row's packages are those that are installed there."""
    return {name: value for name, value in clean_environment(given).items() if name != "PYTHONPATH"}


def test_what_they_accept_is_published_exactly_once_and_the_accounting_balances(place: Place, tmp_path: Path) -> None:
    """All rows at the same time: of what goes wrong in any, the row is named."""
    pythons = {row: python_of(row) for row in ROWS}
    with ThreadPoolExecutor(len(ROWS)) as pool:
        done = {row: pool.submit(produce, place, python, tmp_path / row) for row, python in pythons.items()}
    assert {row: run.exception() for row, run in done.items()} == dict.fromkeys(ROWS)
    audit = run_cli("audit", environment=place.environment)
    assert audit.returncode == 0, audit.stdout + audit.stderr


def produce(place: Place, python: Path, folder: Path) -> None:
    """From memory, a spool, a fork and an outbox, over a broker's absence, and at the end of a process."""
    folder.mkdir()
    spool = {"BRIDGE_SPOOL_DIR": str(folder / "spool")}
    at_once, patiently = {"BRIDGE_EMIT_EXIT_FLUSH_S": "0.2"}, {"BRIDGE_EMIT_EXIT_FLUSH_S": "60"}
    with redis.Redis.from_url(place.redis_url) as client, place.line() as (line, environment):
        row = Row(python, folder, environment_of(environment))
        with row.producer(**patiently) as tell:
            tell("emit 20", "burst 300", "fork 30", "outbox 30", "emit 10")
        with row.producer(**spool, **at_once) as tell:
            tell("emit 10", "flush 0")
            line.refuse()
            client.client_kill_filter(_type="normal", skipme=True)  # which leads past the line, behind sentinels
            tell("emit 20", "burst 100", "fork 10")
        assert list((folder / "spool").iterdir()), row.said()
        line.heal()
        with row.producer(**spool, **patiently) as tell:
            tell("emit 10")
            stream = Keyspace().stream(User(UUID(row.user)))
            wait_until(lambda: client.xlen(stream) >= len(row.accepted), what=f"all are published: {row.said()}")
        published = Counter(fields[b"event_id"].decode() for _, fields in client.xrange(stream))
    assert published == Counter(row.accepted)
    assert len(row.accepted) == 20 + 300 + 30 + 20 + 10 + 10 + 20 + 100 + 10 + 10


@pytest.mark.parametrize("row", ROWS[:-1])
def test_a_worker_started_beside_older_ones_says_which_versions_it_needs(row: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [python_of(row), "-m", "celery", "-A", "bridge.worker", "worker"],
        env=environment_of({}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PROCESS_TIMEOUT_S,
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "A worker needs the extra 'worker' (celery 5.7, kombu 5.7, redis 8); here is celery 5." in done.stderr
