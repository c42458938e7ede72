"""Domain event → SSE event: the one transformation that worker and in-process handler share."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import uuid6

from bridge.model.events import SSEEvent
from bridge.model.events.sse_event import NO_USER, vouched_event
from bridge.model.registry import Audience, DomainToSSEMapping, IdType
from bridge.model.registry.identifiers import UUIDS

_ID_TYPES = frozenset({UUID, uuid6.UUID})


def transform(event: Any, mapping: DomainToSSEMapping, users: IdType = UUIDS) -> SSEEvent | None:
    """Run the mapping's extractors; None when there is no recipient.

    The SSE event keeps the domain event's id and time: that is what makes a redelivery recognisable.

    Raises:
        IdError: ``user_id_extractor`` returns what is no user's id.
        Exception: whatever an extractor raises, or ValueError when it returns the wrong type.
    """
    user_id = mapping.user_id_extractor(event)
    if user_id is None:
        if mapping.audience is not Audience.BROADCAST:
            return None
        user_id = NO_USER
    elif type(user_id) is not users.plain:
        user_id = users.checked(user_id)
    data, event_id, occurred_at = mapping.payload_extractor(event), event.event_id, event.occurred_at
    if (
        type(data) is dict
        and type(event_id) in _ID_TYPES
        and type(occurred_at) is datetime
        and occurred_at.tzinfo is UTC
    ):  # so it is with nearly every event; the registry vouches for the event type
        return vouched_event(mapping.sse_event_type, user_id, data, event_id, occurred_at)
    return SSEEvent.for_user(
        user_id, event_type=mapping.sse_event_type, data=data, event_id=event_id, occurred_at=occurred_at
    )
