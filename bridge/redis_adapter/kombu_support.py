"""What a kombu transport is built on that claims messages of a Redis broker: connections, scripts, and their errors."""

# ruff: noqa: F401  (what it offers)

from bridge.redis_adapter.broker_queues import CLAIMED_BESIDE, CLAIMED_KEYS
from bridge.redis_adapter.client import without_prefix
from bridge.redis_adapter.connections import (
    BrokerConnection,
    BrokerSentinelConnection,
    BrokerSentinelSSLConnection,
    BrokerSSLConnection,
    OtherServerError,
)
from bridge.redis_adapter.queue_watch import BREAKS, POLL_S, QueueWatch, why_not_told
from bridge.redis_adapter.script import UNKNOWN_SCRIPT, Call, script
