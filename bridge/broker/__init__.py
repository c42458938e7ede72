"""Hands on the broker: topology from the registry, Celery's set-up, and messages in Celery's protocol."""

from bridge.broker.message import ATTEMPT_HEADER, BOOKED_HEADER, OVERHEAD_BYTES, REPLAY_HEADER, TaskMessage
from bridge.broker.options import celery_config, consuming_transport, soft_time_limit_s, transport_options
from bridge.broker.sender import TaskSender
from bridge.broker.topology import queues, routes

__all__ = [
    "ATTEMPT_HEADER",
    "BOOKED_HEADER",
    "OVERHEAD_BYTES",
    "REPLAY_HEADER",
    "TaskMessage",
    "TaskSender",
    "celery_config",
    "consuming_transport",
    "queues",
    "routes",
    "soft_time_limit_s",
    "transport_options",
]
