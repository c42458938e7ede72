"""Hands: everything that the bridge keeps in Redis, behind small classes; no Celery here."""

from bridge.store.client import connect, connect_async
from bridge.store.counts import COUNT_NAMES, Counts
from bridge.store.dead_letters import DeadLetter, DeadLetters
from bridge.store.history import START, History, Page, Position, StreamedEvent, read_message
from bridge.store.keys import BROADCAST_CHANNEL, user_channel
from bridge.store.publisher import RedisSSEPublisher, SSEPublisherProtocol
from bridge.store.retries import Attempt, Claim, RetryRecord, RetrySet, extend_history
from bridge.store.settle import Parcel, Receipt, ReceiptStatus, Settler
from bridge.store.starts import Starts
from bridge.store.suitability import server_faults, server_warnings

__all__ = [
    "BROADCAST_CHANNEL",
    "COUNT_NAMES",
    "START",
    "Attempt",
    "Claim",
    "Counts",
    "DeadLetter",
    "DeadLetters",
    "History",
    "Page",
    "Parcel",
    "Position",
    "Receipt",
    "ReceiptStatus",
    "RedisSSEPublisher",
    "RetryRecord",
    "RetrySet",
    "SSEPublisherProtocol",
    "Settler",
    "Starts",
    "StreamedEvent",
    "connect",
    "connect_async",
    "extend_history",
    "read_message",
    "server_faults",
    "server_warnings",
    "user_channel",
]
