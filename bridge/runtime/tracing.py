"""OpenTelemetry in this process, if somebody set a provider; otherwise one look into a dictionary, and nothing else.

The trace travels in the envelope (``traceparent``), so that it survives queues, retries and dead letters.
"""

import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bridge.model.plain_text import plain_logger

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, Tracer

logger = plain_logger(__name__)

_API = "opentelemetry.trace"
_api: Any = None
"""That module, once somebody has imported it: to look for it among thousands costs more than to ask it."""


def active_tracer() -> "Tracer | None":
    """The bridge's tracer; None while no provider is set, or if it fails. Imports nothing, never raises."""
    global _api
    if _api is None:
        _api = sys.modules.get(_API)
    # Asking the API itself reads the environment each time, which would double the price of an emit.
    if _api is None or getattr(_api, "_TRACER_PROVIDER", _api) is None:
        return None
    try:
        provider = _api.get_tracer_provider()
        if isinstance(provider, _api.ProxyTracerProvider | _api.NoOpTracerProvider):
            return None
        tracer: Tracer = provider.get_tracer("bridge")
    except Exception:  # somebody else's provider, or an API that is only half imported, whose import may yet fail
        _api = None
        logger.exception("bridge.tracing.failed")
        return None
    return tracer


def note_emitted(event_class: str, event_id: UUID, queue: str) -> str:
    """A span of the moment in which an event was emitted; its trace context, or '' where nothing is traced.

    Never raises: tracing is no reason to refuse an event.
    """
    tracer = active_tracer()
    if tracer is None:
        return ""
    try:
        from opentelemetry.trace import SpanKind

        span = tracer.start_span(
            f"emit {event_class}",
            kind=SpanKind.PRODUCER,
            attributes={"messaging.destination.name": queue, "messaging.message.id": str(event_id)},
        )
        span.end()
        return traceparent(span.get_span_context())
    except Exception:  # somebody else's provider
        logger.exception("bridge.tracing.failed event_id=%s", event_id)
        return ""


def traceparent(context: "SpanContext") -> str:
    """W3C trace context, version 00; '' for an invalid context.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
