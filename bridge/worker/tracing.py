"""``BatchTrace``: the spans of events that are handled together; only made while a provider is set."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.model.errors import DecodeError
from bridge.model.pipeline import Dead, Outcome, Published, Retry, parsed
from bridge.model.registry import DomainToSSEMapping

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer


class BatchTrace:
    """A span ``process`` an event, under the span that emitted it, and ``publish`` under that."""

    def __init__(self, tracer: "Tracer") -> None:
        self._tracer = tracer
        self._to_publish: list[tuple[Context, str]] = []

    def process(self, run: Callable[[], Outcome], mapping: DomainToSSEMapping, raw: object, attempt: int) -> Outcome:
        """Run one event under its span."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        with self._tracer.start_as_current_span(
            f"process {mapping.domain_event_class.__name__}",
            context=_parent(raw),
            kind=SpanKind.CONSUMER,
            attributes={"bridge.attempt": attempt, "messaging.message.id": _id_of(raw)},
        ) as span:
            outcome = run()
            span.set_attribute("bridge.outcome", type(outcome).__name__.lower())
            if isinstance(outcome, Retry | Dead):
                span.set_status(Status(StatusCode.ERROR, outcome.failure.error_class))
            if isinstance(outcome, Published):
                self._to_publish.append((set_span_in_context(span), outcome.event.event_type.value))
        return outcome

    def settled(self, begun_ns: int) -> None:
        """The events were handed to Redis together, which began at ``begun_ns`` (``time.time_ns``)."""
        from opentelemetry.trace import SpanKind

        ended_ns = time.time_ns()
        for context, event_type in self._to_publish:
            span = self._tracer.start_span(
                f"publish {event_type}", context=context, kind=SpanKind.PRODUCER, start_time=begun_ns
            )
            span.end(ended_ns)


def _parent(raw: object) -> "Context | None":
    """The context that an envelope carries; None starts a trace of its own."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carried = _member(raw, "traceparent")
    return TraceContextTextMapPropagator().extract({"traceparent": carried}) if isinstance(carried, str) else None


def _id_of(raw: object) -> str:
    return str(_member(raw, "id") or "")


def _member(raw: object, name: str) -> object:
    try:
        envelope = parsed(raw)
    except DecodeError:
        return None
    return envelope.get(name) if isinstance(envelope, dict) else None
