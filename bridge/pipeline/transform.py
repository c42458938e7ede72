"""Domain event → SSE event: the one transformation that worker and in-process handler share."""

from typing import Any
from uuid import UUID

from bridge.events import SSEEvent
from bridge.registry import Audience, DomainToSSEMapping

NOBODY = UUID(int=0)
"""The user id of a broadcast that names no user."""


def transform(event: Any, mapping: DomainToSSEMapping) -> SSEEvent | None:
    """Run the mapping's extractors; None when there is nobody to tell.

    The SSE event keeps the domain event's id and time: that is what makes a redelivery recognisable.

    Raises:
        Exception: whatever an extractor raises, or ValueError when it returns the wrong type.
    """
    user_id = mapping.user_id_extractor(event)
    if user_id is None:
        if mapping.audience is not Audience.BROADCAST:
            return None
        user_id = NOBODY
    return SSEEvent(
        event_type=mapping.sse_event_type,
        user_id=user_id,
        data=mapping.payload_extractor(event),
        event_id=event.event_id,
        occurred_at=event.occurred_at,
    )
