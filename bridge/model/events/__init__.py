"""What a domain event and a published event are. Pure values, no I/O."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.model.event_log import comment_frame, reset_frame, retry_frame
    from bridge.model.events.json_payload import encode_payload
    from bridge.model.events.sse_event import SSEEvent, get_category_for_event_type
    from bridge.model.events.types import DomainEvent, Event, EventType, SSEEventCategory, SSEEventType

__all__, __getattr__ = on_demand(
    __name__,
    {
        "bridge.model.event_log": "comment_frame reset_frame retry_frame",
        "bridge.model.events.json_payload": "encode_payload",
        "bridge.model.events.sse_event": "SSEEvent get_category_for_event_type",
        "bridge.model.events.types": "DomainEvent Event EventType SSEEventCategory SSEEventType",
    },
)
