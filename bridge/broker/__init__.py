"""Hands on the broker: messages in Celery's protocol, topology from the registry, and Celery's set-up.

What producers need is here; kombu comes in only with ``options``, ``topology`` and the transports.
"""

from bridge.broker.message import (
    ATTEMPT_HEADER,
    BOOKED_HEADER,
    BUNDLE_HEADER,
    OVERHEAD_BYTES,
    REPLAY_HEADER,
    TaskMessage,
)
from bridge.broker.sender import TaskSender

__all__ = [
    "ATTEMPT_HEADER",
    "BOOKED_HEADER",
    "BUNDLE_HEADER",
    "OVERHEAD_BYTES",
    "REPLAY_HEADER",
    "TaskMessage",
    "TaskSender",
]
