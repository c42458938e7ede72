"""Where the events of each class go, and writing one for its way."""

from typing import Any

from bridge.model.errors import PayloadError
from bridge.model.pipeline import EventCodec, snapshot_taker
from bridge.model.plain_text import name_of
from bridge.model.registry import DomainToSSEMapping, Registry
from bridge.producer.batching import Route, Written, user_reader
from bridge.runtime.tracing import note_emitted
from bridge.settings import ProducerSettings


def routes_of(registry: Registry, settings: ProducerSettings) -> dict[type[Any], Route]:
    """One for each class that has a mapping."""
    return {row.domain_event_class: _route(row, registry, settings) for row in registry.mappings}


def _route(row: DomainToSSEMapping, registry: Registry, settings: ProducerSettings) -> Route:
    codec = EventCodec(row.domain_event_class)
    data_max = settings.event_max_bytes - codec.overhead_bytes(settings.source)
    return Route(
        codec=codec,
        task=registry.task_of(row),
        queue=registry.queue_of(row),
        source=settings.source,
        data_max=data_max,
        snapshot_of=snapshot_taker(row.domain_event_class, data_max),
        user_of=user_reader(row, registry.users),
    )


def write_small(route: Route, event: Any) -> Written | None:
    """An event as JSON, which is not traced; None if it may be too large."""
    data = route.codec.write(event)
    if len(data) > route.data_max:
        return None
    return Written(route, event.event_id, event.occurred_at, data, route.user_of(event))


def write(route: Route, event: Any, event_max_bytes: int) -> Written:
    """An event as JSON, with the trace that its caller is in.

    Raises:
        PayloadError: it cannot be written, or its envelope is larger than ``event_max_bytes``.
        Exception: whatever its own code raises.
    """
    trace = note_emitted(name_of(type(event)), event.event_id, route.queue)
    data = route.codec.write(event)
    entry = Written(route, event.event_id, event.occurred_at, data, route.user_of(event), trace)
    # The trace is in the envelope, too: a large one is measured as it will be.
    if (trace or len(data) > route.data_max) and (size := len(entry.accepted().envelope)) > event_max_bytes:
        raise PayloadError(
            f"Its envelope has {size} bytes; at most {event_max_bytes} are allowed (BRIDGE_EVENT_MAX_BYTES). "
            "Send a reference instead of the content."
        )
    return entry
