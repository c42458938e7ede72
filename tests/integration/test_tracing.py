"""Spans from emit over process to publish, in one trace that travels in the envelope; and none without a provider."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bridge import Emitter
from bridge.redis_adapter import connect
from bridge.runtime.tracing import active_tracer
from bridge.settings import Settings
from bridge.wiring import worker_ports
from bridge.worker.handler import Handler
from bridge.worker.jobs import Job
from tests.support.items import envelopes_of
from tests.support.moody_catalog import Moody, registry

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="pip install opentelemetry-sdk")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Finished spans of a provider that is set for this test only."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # The API lets a provider be set once in a process.
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter.get_finished_spans
    provider.shutdown()


def emitted(settings: Settings, *events: Moody) -> list[dict[str, Any]]:
    """The envelopes of events as they stand on the queue."""
    emitter = Emitter(settings, registry)
    for event in events:
        assert emitter.emit(event)
    assert emitter.close()
    items = connect(settings).lrange("bridge.moods", 0, -1)
    return [envelope for item in reversed(items) for envelope in envelopes_of(item)]


def run(settings: Settings, envelopes: list[dict[str, Any]], attempt: int = 1) -> None:
    job = Job(mapping=registry.mappings[0], envelopes=envelopes, attempt=attempt, message_id=str(uuid4()), booked_as="")
    Handler(settings, registry, worker_ports(settings, registry)).run([job])


def test_one_trace_goes_from_emit_to_publish(
    settings: Settings, spans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry import trace

    monkeypatch.setenv("MOODY_DIR", str(tmp_path))
    with trace.get_tracer("shop").start_as_current_span("order") as order:
        envelopes = emitted(settings, Moody(user_id=uuid4()), Moody(user_id=uuid4()))
    run(settings, envelopes)
    found = spans()
    assert sorted(span.name for span in found) == sorted(
        ["order", *2 * ["emit Moody", "process Moody", "publish mood.shown"]]
    )
    assert {span.context.trace_id for span in found} == {order.get_span_context().trace_id}
    by_id = {span.context.span_id: span for span in found}
    published = [span for span in found if span.name.startswith("publish")]
    assert len({span.parent.span_id for span in published}) == 2
    for span in published:
        process = by_id[span.parent.span_id]
        assert process.attributes["bridge.outcome"] == "published"
        assert by_id[process.parent.span_id].name == "emit Moody"


def test_a_retry_stays_in_the_trace_and_its_span_has_failed(
    settings: Settings, spans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))
    [envelope] = emitted(settings, Moody(user_id=uuid4(), mode="fail", times=1))
    run(settings, [envelope])
    record = json.loads(connect(settings).hvals("bridge:retry:records")[0].partition(b":")[2])
    run(settings, [json.loads(record["envelope"])], attempt=2)
    first, second = [span for span in spans() if span.name == "process Moody"]
    assert (first.status.is_ok, second.status.is_ok) == (False, True)
    assert first.context.trace_id == second.context.trace_id
    assert first.parent.span_id == second.parent.span_id


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-0-0-00", 7, None])
def test_an_envelope_with_a_bad_trace_context_starts_a_trace_of_its_own(
    settings: Settings, spans: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traceparent: object
) -> None:
    monkeypatch.setenv("MOODY_DIR", str(tmp_path))
    [envelope] = emitted(settings, Moody(user_id=uuid4()))
    run(settings, [{**envelope, "traceparent": traceparent}])
    [span] = [span for span in spans() if span.name == "process Moody"]
    assert span.parent is None


def test_a_provider_that_raises_costs_no_event(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry import trace

    class Broken(sdk.TracerProvider):
        def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("no tracer for you")

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", Broken())
    [envelope] = emitted(settings, Moody(user_id=uuid4()))
    assert "traceparent" not in envelope


def test_without_a_provider_the_envelope_has_no_trace_context(settings: Settings) -> None:
    assert active_tracer() is None
    [envelope] = emitted(settings, Moody(user_id=uuid4()))
    assert "traceparent" not in envelope
