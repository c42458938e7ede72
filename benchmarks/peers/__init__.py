"""Who takes part: each does the same job, with the settings that its documentation recommends for throughput.

The job of each event: look up the mapping, make the domain event, extract, encode as JSON, XADD to the user's
stream and PUBLISH on the user's channel. One line of the table is one system; its module holds its worker and its
``Sender``.
"""

import os
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks.harness.machine import package_version
from benchmarks.harness.rabbitmq import find_rabbitmq

BATCHES_PYTHON = "BENCH_BATCHES_PYTHON"
"""Names the Python that has celery-batches, which needs an older Celery than the bridge."""

_CELERY = "-m celery -A {module} worker --concurrency {processes} --pool prefork --loglevel WARNING"
_CELERY_QUIET = f"{_CELERY} --without-gossip --without-mingle --without-heartbeat"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One system under measurement.

    Attributes:
        name: as in results.
        label: as in tables.
        settings: what was set and why, in one sentence.
        module: where its ``Sender`` is, and its app.
        worker: arguments for Python; empty if the producer does all itself.
        needs: the package that must be installed.
        broker: ``redis`` or ``rabbitmq``.
        worker_each: start one command a process, because the command itself starts only one.
        environment: for producer and worker.
        python_from: environment variable that names its Python; empty takes ours.
        counted_by: the Redis command that runs once an event and not for anything else: workers of Celery send their
            heartbeats by PUBLISH, brokers on streams queue by XADD.
        burst_events: how many events a run takes: enough for seconds at its speed.
    """

    name: str
    label: str
    settings: str
    module: str
    worker: str
    needs: str
    broker: str = "redis"
    worker_each: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    python_from: str = ""
    counted_by: str = "xadd"
    burst_events: int = 3_000

    @property
    def python(self) -> str:
        """The interpreter of its worker and producer."""
        return os.environ.get(self.python_from, "") if self.python_from else sys.executable

    def commands(self, processes: int) -> list[list[str]]:
        """What starts its workers."""
        if not self.worker:
            return []
        text = self.worker.format(module=self.module, processes=processes)
        return [[self.python, *text.split()] for _ in range(processes if self.worker_each else 1)]

    def missing(self) -> str | None:
        """Why it cannot take part here; None if it can."""
        if self.broker == "rabbitmq" and find_rabbitmq() is None:
            return "RabbitMQ is not installed"
        if self.python_from:
            if not self.python or not Path(self.python).exists():
                return f"{self.python_from} names no Python that has {self.needs}"
            return None if package_version(self.needs, self.python) else f"{self.needs} is not installed"
        return None if find_spec(self.needs) else f"{self.needs} is not installed"


BRIDGE = "bridge"

PEERS: tuple[Peer, ...] = (
    Peer(
        name=BRIDGE,
        label="bridge",
        settings="defaults",
        module="benchmarks.peers.bridge_emit",
        worker=_CELERY.replace("{module}", "bridge.worker"),
        needs="bridge",
        burst_events=100_000,
    ),
    Peer(
        name="bridge_single",
        label="bridge, one event per message",
        settings="BRIDGE_EMIT_BATCH_MAX=1",
        module="benchmarks.peers.bridge_emit",
        worker=_CELERY.replace("{module}", "bridge.worker"),
        needs="bridge",
        environment={"BRIDGE_EMIT_BATCH_MAX": "1"},
        burst_events=30_000,
    ),
    Peer(
        name="bridge_rabbitmq",
        label="bridge on RabbitMQ",
        settings="defaults: quorum queues, publisher confirms",
        module="benchmarks.peers.bridge_emit",
        worker=_CELERY.replace("{module}", "bridge.worker"),
        needs="bridge",
        broker="rabbitmq",
        burst_events=100_000,
    ),
    Peer(
        name="celery_redis",
        label="Celery, Redis",
        settings="early acknowledgement, no results, prefetch multiplier 128, no gossip, mingle or heartbeat; "
        "bursts are published in kombu's batches",
        module="benchmarks.peers.celery_plain",
        worker=_CELERY_QUIET,
        needs="celery",
    ),
    Peer(
        name="celery_rabbitmq",
        label="Celery, RabbitMQ",
        settings="as on Redis, with transient messages on a classic queue and no publisher confirms",
        module="benchmarks.peers.celery_plain",
        worker=_CELERY_QUIET,
        needs="celery",
        broker="rabbitmq",
    ),
    Peer(
        name="celery_batches",
        label="celery-batches, Redis",
        settings="flush_every 500, flush_interval 0.1 s, unlimited prefetch; each batch is one pipeline",
        module="benchmarks.peers.celery_batching",
        worker=_CELERY_QUIET,
        needs="celery-batches",
        python_from=BATCHES_PYTHON,
    ),
    Peer(
        name="faststream",
        label="FastStream, Redis stream",
        settings="consumer group, uvloop, raw JSON; bursts are published in pipelines",
        module="benchmarks.peers.faststream_single",
        worker="-m benchmarks.peers.faststream_single",
        needs="faststream",
        counted_by="publish",
        worker_each=True,
    ),
    Peer(
        name="faststream_batch",
        label="FastStream, Redis stream, batch subscriber",
        settings="consumer group, batch=True, max_records 500, uvloop; each batch is one pipeline",
        module="benchmarks.peers.faststream_batch",
        worker="-m benchmarks.peers.faststream_batch",
        needs="faststream",
        counted_by="publish",
        worker_each=True,
        burst_events=100_000,
    ),
    Peer(
        name="taskiq",
        label="Taskiq, Redis stream",
        settings="RedisStreamBroker, xread_count 500, prefetch 500, 100 tasks at once, no results, uvloop",
        module="benchmarks.peers.taskiq_stream",
        worker="-m taskiq worker {module}:broker --workers {processes} --max-async-tasks 100 --max-prefetch 500 "
        "--log-level WARNING",
        needs="taskiq_redis",
        counted_by="publish",
    ),
    Peer(
        name="dramatiq",
        label="Dramatiq, Redis",
        settings="8 threads a process, prefetch 1000, no results",
        module="benchmarks.peers.dramatiq_redis",
        worker="-m dramatiq {module} --processes {processes} --threads 8 --skip-logging",
        needs="dramatiq",
        environment={"dramatiq_queue_prefetch": "1000"},
    ),
    Peer(
        name="in_process",
        label="in-process handler",
        settings="no queue and no worker: the producer publishes itself, 100 at once",
        module="benchmarks.peers.in_process",
        worker="",
        needs="redis",
        burst_events=50_000,
    ),
)

BY_NAME = {peer.name: peer for peer in PEERS}
