"""Everything that the bridge keeps in Redis, behind small classes: the only room that knows keys and scripts."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.redis_adapter.accounting import Balance, read_balance
    from bridge.redis_adapter.client import connect, connect_async, connect_briefly, connect_broker
    from bridge.redis_adapter.clock import StoreClock
    from bridge.redis_adapter.counts import COUNT_NAMES, Counts, Tally
    from bridge.redis_adapter.dead_letters import Cursor, DeadLetter, DeadLetters, LetterHead
    from bridge.redis_adapter.event_log import START, History, Page, Position, StreamedEvent, read_message
    from bridge.redis_adapter.keyspace import Keyspace
    from bridge.redis_adapter.ledger import Ledger, OpenMessage, record_bytes
    from bridge.redis_adapter.producers import ProducerReport, Producers, Reported
    from bridge.redis_adapter.publisher import RedisSSEPublisher, SSEPublisherProtocol, get_sse_publisher
    from bridge.redis_adapter.retry_queue import Attempt, Claim, RetryRecord, RetrySet, extend_history
    from bridge.redis_adapter.server_requirements import server_faults, server_warnings
    from bridge.redis_adapter.settle import Delivery, Parcel, Receipt, ReceiptStatus
    from bridge.redis_adapter.settler import Settler, Settling
    from bridge.redis_adapter.start_counts import Starts
    from bridge.redis_adapter.workers import KnownWorker, WorkerReport, Workers

__all__ = [
    "COUNT_NAMES",
    "START",
    "Attempt",
    "Balance",
    "Claim",
    "Counts",
    "Cursor",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "History",
    "Keyspace",
    "KnownWorker",
    "Ledger",
    "LetterHead",
    "OpenMessage",
    "Page",
    "Parcel",
    "Position",
    "ProducerReport",
    "Producers",
    "Receipt",
    "ReceiptStatus",
    "RedisSSEPublisher",
    "Reported",
    "RetryRecord",
    "RetrySet",
    "SSEPublisherProtocol",
    "Settler",
    "Settling",
    "Starts",
    "StoreClock",
    "StreamedEvent",
    "Tally",
    "WorkerReport",
    "Workers",
    "connect",
    "connect_async",
    "connect_briefly",
    "connect_broker",
    "extend_history",
    "get_sse_publisher",
    "read_balance",
    "read_message",
    "record_bytes",
    "server_faults",
    "server_warnings",
]

__getattr__ = on_demand(
    __name__,
    {
        "bridge.redis_adapter.accounting": {"Balance", "read_balance"},
        "bridge.redis_adapter.client": {"connect", "connect_async", "connect_briefly", "connect_broker"},
        "bridge.redis_adapter.clock": {"StoreClock"},
        "bridge.redis_adapter.counts": {"COUNT_NAMES", "Counts", "Tally"},
        "bridge.redis_adapter.dead_letters": {"Cursor", "DeadLetter", "DeadLetters", "LetterHead"},
        "bridge.redis_adapter.event_log": {"START", "History", "Page", "Position", "StreamedEvent", "read_message"},
        "bridge.redis_adapter.keyspace": {"Keyspace"},
        "bridge.redis_adapter.ledger": {"Ledger", "OpenMessage", "record_bytes"},
        "bridge.redis_adapter.producers": {"ProducerReport", "Producers", "Reported"},
        "bridge.redis_adapter.publisher": {"RedisSSEPublisher", "SSEPublisherProtocol", "get_sse_publisher"},
        "bridge.redis_adapter.retry_queue": {"Attempt", "Claim", "RetryRecord", "RetrySet", "extend_history"},
        "bridge.redis_adapter.settle": {"Delivery", "Parcel", "Receipt", "ReceiptStatus"},
        "bridge.redis_adapter.settler": {"Settler", "Settling"},
        "bridge.redis_adapter.start_counts": {"Starts"},
        "bridge.redis_adapter.server_requirements": {"server_faults", "server_warnings"},
        "bridge.redis_adapter.workers": {"KnownWorker", "WorkerReport", "Workers"},
    },
)
