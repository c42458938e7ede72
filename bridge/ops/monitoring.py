"""What monitoring asks: Prometheus' ``/metrics``, ``/health/live`` and ``/health/ready`` of the whole bridge.

Each is read from the store when it is asked: right under prefork and over many hosts. Whoever asks gets the numbers of
the whole bridge, so scrape one process of this kind, or take ``max`` over several.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from threading import Lock
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bridge.model.counting import EXTRACT_US, FOREIGN_PRIORITY, PUBLISH_DELAY_MS, TEXTS, Distribution
from bridge.model.errors import StoreError
from bridge.model.registry import Registry
from bridge.operations import Fault, OutboxState, Status, StatusReader, is_consuming
from bridge.redis_adapter import METRIC_PREFIX
from bridge.runtime.reports import ProducerReport
from bridge.runtime.supervision import Supervised
from bridge.settings import OpsSettings
from bridge.wiring import open_store

METRICS_PATH = "/metrics"
LIVE_PATH = "/health/live"
READY_PATH = "/health/ready"
OUTCOMES = ("published", "skipped", "retried", "retry_full", "dead")


def monitoring_routes(
    settings: OpsSettings,
    registry: Registry,
    closing: ExitStack,
    refusals: Callable[[], dict[str, int]] = dict,
) -> list[Route]:
    """The routes, to be mounted by an application.

    Args:
        settings: of the store and the broker.
        registry: whose queues and types are shown.
        closing: drops the connections of the routes, when it is closed.
        refusals: tells what this process refused so far, by name.
    """
    collectors = CollectorRegistry()
    collector = BridgeCollector(settings, registry)
    closing.callback(collector.close)
    collectors.register(collector)
    collectors.register(RefusalCollector(refusals))

    def metrics(request: Request) -> Response:
        """Answer a scrape, in the format that it asks for, or Prometheus' own."""
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # the header names no version
            encode, content_type = choose_encoder("")
        return Response(encode(collectors), headers={"Content-Type": content_type})

    reader = StatusReader(open_store(settings, briefly=True), settings, registry)
    closing.callback(reader.close)
    health = _Health(reader)
    return [
        Route(METRICS_PATH, metrics, methods=["GET"]),
        Route(LIVE_PATH, health.live, methods=["GET"], name="live"),
        Route(READY_PATH, health.ready, methods=["GET"], name="ready"),
    ]


class RefusalCollector(Collector):
    """What the operators' page in this very process refused; nothing of the rest of the bridge."""

    def __init__(self, refusals: Callable[[], dict[str, int]]) -> None:
        self._refusals = refusals

    def collect(self) -> Iterator[Metric]:
        """One counter each."""
        for name, value in self._refusals().items():
            yield CounterMetricFamily(f"bridge_ops_{name}_refused", f"Refused by this page: {name}.", value=value)


class BridgeCollector(Collector):
    """Everything that the store and the broker tell; ``bridge_store_up 0`` and nothing else while Redis is away."""

    def __init__(self, settings: OpsSettings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._reader = StatusReader(open_store(settings, briefly=True), settings, registry)
        self._turn = Lock()

    def close(self) -> None:
        """Drop the connections."""
        self._reader.close()

    def describe(self) -> list[Metric]:
        """Nothing, so that registering does not read the store."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the store once."""
        try:
            with self._turn:
                status = self._reader.read()
        except StoreError:
            yield GaugeMetricFamily("bridge_store_up", "Whether Redis answers.", value=0)
            return
        yield GaugeMetricFamily("bridge_store_up", "Whether Redis answers.", value=1)
        yield from families(status, self._registry, self._settings)


def families(status: Status, registry: Registry, settings: OpsSettings) -> Iterator[Metric]:
    """A status as metrics."""
    yield _outcomes(status, registry)
    yield from (family(name, text, value=figure(status)) for name, family, text, figure in _FIGURES)
    yield from _queues(status, settings)
    yield from _processes(status, settings)
    yield from _outboxes(status)
    yield from _gateways(status)
    delay, extract = PUBLISH_DELAY_MS.read(status.metrics), EXTRACT_US.read(status.metrics)
    yield _histogram("bridge_publish_delay_seconds", "From an event's own time to its publication.", delay, 1_000)
    yield _histogram("bridge_extract_seconds", "Running one event through its mapping.", extract, 1_000_000)


def _outcomes(status: Status, registry: Registry) -> Metric:
    made = CounterMetricFamily(
        "bridge_events", "Events by outcome; an event that is retried counts each time.", labels=_OUTCOME_LABELS
    )
    # From zero, or an alert on growth would miss the first that happens.
    zero = {f"{outcome}:{meta.event_type.value}": 0 for outcome in OUTCOMES for meta in registry.events}
    for field, number in sorted({**zero, "dead:": 0, **status.metrics}.items()):
        outcome, _, event_type = field.partition(":")
        if outcome in OUTCOMES:
            meta = registry.metadata_of_wire_name(event_type)
            made.add_metric((outcome, event_type, meta.category.value if meta else ""), number)
    return made


_OUTCOME_LABELS = ("outcome", "type", "category")


def _queues(status: Status, settings: OpsSettings) -> Iterator[Metric]:
    depth = GaugeMetricFamily("bridge_queue_depth", "Messages that wait to be taken.", labels=("queue",))
    age = GaugeMetricFamily(
        "bridge_queue_oldest_age_seconds", "Since the message that is taken next was accepted.", labels=("queue",)
    )
    for queue in status.queues:
        depth.add_metric((queue.name,), queue.depth)
        age.add_metric((queue.name,), queue.oldest_age_s or 0)
    yield depth
    yield age
    left = GaugeMetricFamily(
        "bridge_queue_stranded_messages",
        "Messages on a queue that the registry does not have and no worker consumes.",
        labels=("queue",),
    )
    served = {queue for worker in status.workers if is_consuming(settings, worker) for queue in worker.report.queues}
    for queue in status.queues:
        if not queue.registered and queue.name not in served:
            left.add_metric((queue.name,), queue.depth)
    yield left
    if status.claimed is not None:
        yield GaugeMetricFamily("bridge_messages_claimed", "Messages claimed by workers.", value=status.claimed)


def _processes(status: Status, settings: OpsSettings) -> Iterator[Metric]:
    consuming = sum(is_consuming(settings, worker) for worker in status.workers)
    workers = GaugeMetricFamily("bridge_workers", "Workers that did not say good-bye, by state.", labels=("state",))
    workers.add_metric(("consuming",), consuming)
    workers.add_metric(("not_consuming",), len(status.workers) - consuming)
    yield workers
    hosts = sorted({producer.host for producer in status.producers})
    for name, of_all, text, figure in _PRODUCER_FIGURES:
        gauge = GaugeMetricFamily(f"bridge_producer_{name}", text, labels=("host",))
        for host in hosts:
            gauge.add_metric((host,), of_all(figure(p) for p in status.producers if p.host == host))
        yield gauge


def _outboxes(status: Status) -> Iterator[Metric]:
    for name, text, figure in _OUTBOX_FIGURES:
        gauge = GaugeMetricFamily(f"bridge_outbox_{name}", text, labels=("database",))
        for outbox in status.outboxes:
            gauge.add_metric((outbox.database,), figure(outbox))
        yield gauge


_OUTBOX_FIGURES: tuple[tuple[str, str, Callable[[OutboxState], float]], ...] = (
    ("waiting_events", "Events in an application's table that the broker does not have.", lambda o: o.waiting),
    ("oldest_event_seconds", "How long the oldest of them waits.", lambda o: o.oldest_s),
    ("set_aside_rows", "Rows that are not sent: damaged, or perhaps published before.", lambda o: o.set_aside),
    ("foreign_rows", "Rows of types that the process draining it does not know.", lambda o: o.foreign),
    ("drains", "Processes that are heard and drain it.", lambda o: o.drained_by),
    ("in_trouble", "1 if a process cannot read or write it.", lambda o: bool(o.trouble)),
)


_PRODUCER_FIGURES: tuple[tuple[str, Any, str, Callable[[ProducerReport], float]], ...] = (
    ("waiting_events", sum, "Events in producers' memory.", lambda p: p.waiting),
    ("spooled_events", sum, "Events on producers' disks.", lambda p: p.spooled),
    ("refused_events", sum, "Events that producers did not accept.", lambda p: p.refused),
    ("unmapped_events", sum, "Events whose class is not in their producer's registry.", lambda p: p.unmapped),
    (
        "spool_files_set_aside",
        sum,
        "Spool files that producers set aside because they cannot be read.",
        lambda p: p.set_aside,
    ),
    (
        "oldest_event_seconds",
        max,
        "How long the oldest event waits that its producer has not sent.",
        lambda p: p.oldest_s,
    ),
)


def _threads(status: Status) -> Iterator[Supervised]:
    for producer in status.producers:
        yield from producer.threads
    for worker in status.workers:
        yield from worker.report.threads
    for threads in status.gateways.threads.values():
        yield from threads


def _gateways(status: Status) -> Iterator[Metric]:
    """What browsers get; each process adds its counters to the store every 5 s."""
    counted = {
        name.removeprefix(METRIC_PREFIX): number
        for name, number in status.metrics.items()
        if name.startswith(METRIC_PREFIX)
    }
    cuts = CounterMetricFamily("bridge_gateway_cuts", "Clients cut because they were too slow.", labels=("reason",))
    for name, text in TEXTS.items():
        if name.startswith("cut_"):
            cuts.add_metric((name.removeprefix("cut_"),), counted.get(name, 0))
        else:
            yield CounterMetricFamily(f"bridge_gateway_{name}", text, value=counted.get(name, 0))
    yield cuts


_GAUGE, _COUNTER = GaugeMetricFamily, CounterMetricFamily
_FIGURES: tuple[tuple[str, Any, str, Callable[[Status], float]], ...] = (
    ("bridge_events_accepted", _COUNTER, "Events that the broker has taken.", lambda s: s.balance.accepted),
    ("bridge_events_duplicate", _COUNTER, "Events that had ended before.", lambda s: s.balance.duplicate),
    (
        "bridge_events_unbooked",
        _COUNTER,
        "Published without an accept record; should stay 0.",
        lambda s: s.balance.unbooked,
    ),
    ("bridge_events_stray", _GAUGE, "Events that failed after another run had ended them.", lambda s: s.balance.stray),
    ("bridge_events_set_back", _GAUGE, "Accepted events that Redis forgot, or more.", lambda s: s.balance.set_back),
    ("bridge_events_open", _GAUGE, "Events on a queue or claimed by a worker.", lambda s: s.balance.open),
    (
        "bridge_books_difference",
        _GAUGE,
        "Events that nothing accounts for; should be 0.",
        lambda s: s.balance.difference,
    ),
    ("bridge_retries_waiting", _GAUGE, "Events that wait for another attempt.", lambda s: s.balance.retrying),
    (
        "bridge_retries_overdue_seconds",
        _GAUGE,
        "How late the next retry is.",
        lambda s: max(0.0, -(s.retry_next_s or 0)),
    ),
    ("bridge_recent_dead_events", _GAUGE, "Events that died in the last minute.", lambda s: s.recent.dead),
    (
        "bridge_recent_dead_share",
        _GAUGE,
        "Part of the last minute's ended events that died.",
        lambda s: s.recent.dead_share,
    ),
    ("bridge_dead_letters", _GAUGE, "Dead letters.", lambda s: s.letters),
    ("bridge_dead_letters_bytes", _GAUGE, "What the dead letters take.", lambda s: s.letters_bytes),
    ("bridge_dead_events", _GAUGE, "Events in dead letters.", lambda s: s.balance.dead),
    ("bridge_dead_letter_oldest_age_seconds", _GAUGE, "Age of the oldest dead letter.", lambda s: s.dead_oldest_s or 0),
    (
        "bridge_dead_letters_evicted",
        _COUNTER,
        "Events lost to the bounds of the dead letters.",
        lambda s: s.balance.evicted,
    ),
    (
        "bridge_foreign_priority_messages",
        _COUNTER,
        "Messages that producers sent with a priority, which the bridge does not have.",
        lambda s: s.metrics.get(FOREIGN_PRIORITY, 0),
    ),
    ("bridge_healthy", _GAUGE, "Whether events flow; /health/ready says why not.", lambda s: int(s.healthy)),
    (
        "bridge_threads_in_trouble",
        _GAUGE,
        "Threads and tasks of all processes that fail again and again, or wait for their restart.",
        lambda s: sum(t.in_trouble for t in _threads(s)),
    ),
    ("bridge_producers", _GAUGE, "Producer processes that report.", lambda s: len(s.producers)),
    ("bridge_gateways", _GAUGE, "Gateway processes that report.", lambda s: s.gateways.processes),
    ("bridge_gateway_connections", _GAUGE, "Open streams.", lambda s: s.gateways.connections),
)


def _histogram(name: str, text: str, distribution: Distribution, units_per_second: int) -> Metric:
    buckets = [(repr(bound / units_per_second), float(count)) for bound, count in distribution.buckets]
    return HistogramMetricFamily(
        name,
        text,
        buckets=[*buckets, ("+Inf", float(distribution.count))],
        sum_value=distribution.sum / units_per_second,
    )


class _Health:
    """The endpoints. No coroutines: Starlette runs them on a thread, and Redis may let them wait."""

    def __init__(self, reader: StatusReader) -> None:
        self._reader = reader
        self._turn = Lock()

    def live(self, _request: Request) -> Response:
        """This process runs."""
        return JSONResponse({"status": "live"})

    def ready(self, _request: Request) -> Response:
        """Events flow: Redis and the broker answer, and workers consume every queue."""
        faults = self._faults()
        document = {
            "status": "not_ready" if faults else "ready",
            "faults": [{"subject": fault.subject, "sentence": fault.sentence} for fault in faults],
        }
        return JSONResponse(document, HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK)

    def _faults(self) -> tuple[Fault, ...]:
        try:
            with self._turn:
                return self._reader.read().faults
        except StoreError as error:
            return (Fault(subject="redis", sentence=str(error)),)
