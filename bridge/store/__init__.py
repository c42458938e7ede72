"""Hands: everything that the bridge keeps in Redis, behind small classes; no Celery here."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.store.books import Balance, read_balance
    from bridge.store.client import connect, connect_async, connect_briefly, connect_broker
    from bridge.store.clock import StoreClock
    from bridge.store.counts import COUNT_NAMES, Counts, Tally
    from bridge.store.dead_letters import Cursor, DeadLetter, DeadLetters, LetterHead
    from bridge.store.fingerprint import Cause, cause_of
    from bridge.store.history import START, History, Page, Position, StreamedEvent, read_message
    from bridge.store.keys import Keyspace
    from bridge.store.ledger import Ledger, OpenMessage, record_bytes
    from bridge.store.producers import ProducerReport, Producers, Reported
    from bridge.store.publisher import RedisSSEPublisher, SSEPublisherProtocol, get_sse_publisher
    from bridge.store.retries import Attempt, Claim, RetryRecord, RetrySet, extend_history
    from bridge.store.settle import Delivery, Parcel, Receipt, ReceiptStatus
    from bridge.store.settler import Settler, Settling
    from bridge.store.starts import Starts
    from bridge.store.suitability import server_faults, server_warnings
    from bridge.store.workers import KnownWorker, WorkerReport, Workers

__all__ = [
    "COUNT_NAMES",
    "START",
    "Attempt",
    "Balance",
    "Cause",
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
    "cause_of",
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
        "bridge.store.books": {"Balance", "read_balance"},
        "bridge.store.client": {"connect", "connect_async", "connect_briefly", "connect_broker"},
        "bridge.store.clock": {"StoreClock"},
        "bridge.store.counts": {"COUNT_NAMES", "Counts", "Tally"},
        "bridge.store.dead_letters": {"Cursor", "DeadLetter", "DeadLetters", "LetterHead"},
        "bridge.store.fingerprint": {"Cause", "cause_of"},
        "bridge.store.history": {"START", "History", "Page", "Position", "StreamedEvent", "read_message"},
        "bridge.store.keys": {"Keyspace"},
        "bridge.store.ledger": {"Ledger", "OpenMessage", "record_bytes"},
        "bridge.store.producers": {"ProducerReport", "Producers", "Reported"},
        "bridge.store.publisher": {"RedisSSEPublisher", "SSEPublisherProtocol", "get_sse_publisher"},
        "bridge.store.retries": {"Attempt", "Claim", "RetryRecord", "RetrySet", "extend_history"},
        "bridge.store.settle": {"Delivery", "Parcel", "Receipt", "ReceiptStatus"},
        "bridge.store.settler": {"Settler", "Settling"},
        "bridge.store.starts": {"Starts"},
        "bridge.store.suitability": {"server_faults", "server_warnings"},
        "bridge.store.workers": {"KnownWorker", "WorkerReport", "Workers"},
    },
)
