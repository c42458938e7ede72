"""Everything that the bridge keeps in Redis, behind small classes: the only room that knows keys and scripts."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.redis_adapter.accounting import read_balance
    from bridge.redis_adapter.client import connect, connect_async, connect_briefly, connect_broker
    from bridge.redis_adapter.clock import StoreClock
    from bridge.redis_adapter.counts import COUNT_NAMES, Counts, Tally
    from bridge.redis_adapter.dead_letters import DeadLetters
    from bridge.redis_adapter.event_log import History
    from bridge.redis_adapter.gateway_counts import GatewayStates
    from bridge.redis_adapter.kept_events import Kept, KeptEvents
    from bridge.redis_adapter.keyspace import Keyspace
    from bridge.redis_adapter.ledger import Ledger, Summary, record_bytes
    from bridge.redis_adapter.operations_log import LogEntry, OperationsLog
    from bridge.redis_adapter.producers import ProducerReport, Producers, Reported
    from bridge.redis_adapter.published_events import PastEvent, Publication, PublishedEvents, Sighting
    from bridge.redis_adapter.publisher import RedisSSEPublisher, SSEPublisherProtocol, get_sse_publisher
    from bridge.redis_adapter.queue_inspection import QueuedMessage, RedisQueues, open_queues
    from bridge.redis_adapter.queue_names import QueueNames, WaitingFor
    from bridge.redis_adapter.recent_outcomes import Recent
    from bridge.redis_adapter.redrive_jobs import RedriveJob, RedriveJobs
    from bridge.redis_adapter.redrive_letters import ReturnedMessage
    from bridge.redis_adapter.retry_queue import RetrySet
    from bridge.redis_adapter.server_requirements import server_faults, server_warnings
    from bridge.redis_adapter.settler import PendingPublish, Settler
    from bridge.redis_adapter.start_counts import Starts
    from bridge.redis_adapter.store import Store
    from bridge.redis_adapter.store_overview import Figures, StoreOverview
    from bridge.redis_adapter.workers import KnownWorker, WorkerReport, Workers

__all__ = [
    "COUNT_NAMES",
    "Counts",
    "DeadLetters",
    "Figures",
    "GatewayStates",
    "History",
    "Kept",
    "KeptEvents",
    "Keyspace",
    "KnownWorker",
    "Ledger",
    "LogEntry",
    "OperationsLog",
    "PastEvent",
    "PendingPublish",
    "ProducerReport",
    "Producers",
    "Publication",
    "PublishedEvents",
    "QueueNames",
    "QueuedMessage",
    "Recent",
    "RedisQueues",
    "RedisSSEPublisher",
    "RedriveJob",
    "RedriveJobs",
    "Reported",
    "RetrySet",
    "ReturnedMessage",
    "SSEPublisherProtocol",
    "Settler",
    "Sighting",
    "Starts",
    "Store",
    "StoreClock",
    "StoreOverview",
    "Summary",
    "Tally",
    "WaitingFor",
    "WorkerReport",
    "Workers",
    "connect",
    "connect_async",
    "connect_briefly",
    "connect_broker",
    "get_sse_publisher",
    "open_queues",
    "read_balance",
    "record_bytes",
    "server_faults",
    "server_warnings",
]

__getattr__ = on_demand(
    __name__,
    {
        "bridge.redis_adapter.accounting": {"read_balance"},
        "bridge.redis_adapter.client": {"connect", "connect_async", "connect_briefly", "connect_broker"},
        "bridge.redis_adapter.clock": {"StoreClock"},
        "bridge.redis_adapter.counts": {"COUNT_NAMES", "Counts", "Tally"},
        "bridge.redis_adapter.dead_letters": {"DeadLetters"},
        "bridge.redis_adapter.event_log": {"History"},
        "bridge.redis_adapter.gateway_counts": {"GatewayStates"},
        "bridge.redis_adapter.kept_events": {"Kept", "KeptEvents"},
        "bridge.redis_adapter.keyspace": {"Keyspace"},
        "bridge.redis_adapter.ledger": {"Ledger", "Summary", "record_bytes"},
        "bridge.redis_adapter.operations_log": {"LogEntry", "OperationsLog"},
        "bridge.redis_adapter.producers": {"ProducerReport", "Producers", "Reported"},
        "bridge.redis_adapter.published_events": {"PastEvent", "Publication", "PublishedEvents", "Sighting"},
        "bridge.redis_adapter.publisher": {"RedisSSEPublisher", "SSEPublisherProtocol", "get_sse_publisher"},
        "bridge.redis_adapter.queue_inspection": {"QueuedMessage", "RedisQueues", "open_queues"},
        "bridge.redis_adapter.queue_names": {"QueueNames", "WaitingFor"},
        "bridge.redis_adapter.recent_outcomes": {"Recent"},
        "bridge.redis_adapter.redrive_jobs": {"RedriveJob", "RedriveJobs"},
        "bridge.redis_adapter.redrive_letters": {"ReturnedMessage"},
        "bridge.redis_adapter.retry_queue": {"RetrySet"},
        "bridge.redis_adapter.server_requirements": {"server_faults", "server_warnings"},
        "bridge.redis_adapter.settler": {"Settler", "PendingPublish"},
        "bridge.redis_adapter.start_counts": {"Starts"},
        "bridge.redis_adapter.store": {"Store"},
        "bridge.redis_adapter.store_overview": {"Figures", "StoreOverview"},
        "bridge.redis_adapter.workers": {"KnownWorker", "WorkerReport", "Workers"},
    },
)
