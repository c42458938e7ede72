"""What travels on the queue: Celery messages in kombu's format, their compression, validation and bundling; pure."""

from bridge.messages.task_message import (
    ATTEMPT_HEADER,
    BOOKED_HEADER,
    BUNDLE_HEADER,
    CLAIMED_ON_HEADER,
    OVERHEAD_BYTES,
    REDRIVE_HEADER,
    TaskMessage,
)
