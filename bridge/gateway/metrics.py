"""``/metrics`` of one gateway process, if prometheus-client is installed; ``bridge.ops`` tells the sum over all."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.gateway.gateway import Gateway
from bridge.model.counting import TEXTS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

METRICS_PATH = "/metrics"
PREFIX = "bridge_gateway_process_"


def metrics_routes(gateway: Gateway) -> list[Route]:
    """The route, or none."""
    if not find_spec("prometheus_client"):
        return []
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector, CollectorRegistry

    class _Collector(Collector):
        def collect(self) -> "Iterator[Metric]":
            return _families(gateway)

    collectors = CollectorRegistry()
    collectors.register(_Collector())

    async def metrics(request: Request) -> Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # the header names no version
            encode, content_type = choose_encoder("")
        return Response(encode(collectors), headers={"Content-Type": content_type})

    return [Route(METRICS_PATH, metrics, methods=["GET"])]


def _families(gateway: Gateway) -> "Iterator[Metric]":
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily(f"{PREFIX}connections", "Streams open in this process.", value=len(gateway.sessions))
    running = GaugeMetricFamily(f"{PREFIX}task_running", "1 unless the task failed and waits.", labels=("task",))
    restarts = CounterMetricFamily(f"{PREFIX}task_restarts", "Times that the task was run again.", labels=("task",))
    for task in gateway.tasks:
        running.add_metric((task.name,), float(task.state.running and not task.done()))
        restarts.add_metric((task.name,), task.state.restarts)
    yield from (running, restarts)
    for name, value in gateway.counters.as_dict().items():
        yield CounterMetricFamily(PREFIX + name, TEXTS[name], value=value)
