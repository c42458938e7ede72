"""What a kombu transport is built on that claims messages of a Redis broker: connections, scripts, and their errors."""

from bridge.redis_adapter.client import without_prefix
from bridge.redis_adapter.connections import (
    BrokerConnection,
    BrokerSentinelConnection,
    BrokerSentinelSSLConnection,
    BrokerSSLConnection,
)
from bridge.redis_adapter.queue_watch import BREAKS, POLL_S, QueueWatch, why_not_told
from bridge.redis_adapter.script import UNKNOWN_SCRIPT, Call, script

__all__ = [
    "BREAKS",
    "POLL_S",
    "UNKNOWN_SCRIPT",
    "BrokerConnection",
    "BrokerSSLConnection",
    "BrokerSentinelConnection",
    "BrokerSentinelSSLConnection",
    "Call",
    "QueueWatch",
    "script",
    "why_not_told",
    "without_prefix",
]
