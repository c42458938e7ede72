"""Everything that the bridge keeps in Redis, behind small classes: the only room that knows keys and scripts.

Whatever does I/O here raises StoreUnavailableError where Redis is away or takes no writes, and StoreRefusedError where
it refuses for good (BrokerError where it is the broker); a docstring speaks of it only where more is to be said. What
was asked may have happened.
"""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.redis_adapter.accounting import Ledger, OperationsLog, Starts, StoreOverview, Tally, read_balance
    from bridge.redis_adapter.broker_queues import RedisBrokerQueues, is_there
    from bridge.redis_adapter.client import (
        MasterWatch,
        StoreClock,
        connect,
        connect_async,
        connect_briefly,
        connect_broker,
        sentinel_options,
        tls_options_of,
        watch_server,
    )
    from bridge.redis_adapter.errors import REDIS_TROUBLES, Trouble, diagnose, store_error
    from bridge.redis_adapter.event_log import History, LiveSubscription, PublishedEvents
    from bridge.redis_adapter.failed_events import DeadLetters, KeptEvents, RetrySet
    from bridge.redis_adapter.keyspace import Keyspace
    from bridge.redis_adapter.preflight.servers import (
        MIN_VERSION,
        option_faults,
        read_server,
        server_faults,
        server_pid,
        server_warnings,
        try_servers,
    )
    from bridge.redis_adapter.publisher import RedisSSEPublisher, SSEPublisherProtocol, get_sse_publisher
    from bridge.redis_adapter.queue_discovery import ForeignLists
    from bridge.redis_adapter.redrive_jobs import RedriveJobs
    from bridge.redis_adapter.reports import METRIC_PREFIX, Gateways, Producers, Workers
    from bridge.redis_adapter.rights import RightsRecord, WithdrawnRights
    from bridge.redis_adapter.settler import PendingPublish, Settler
    from bridge.redis_adapter.task_queue import Announcer, QueueNames, RedisTaskQueue
    from bridge.redis_adapter.tickets import Tickets, TicketWriter

__all__, __getattr__ = on_demand(
    __name__,
    {
        "bridge.redis_adapter.accounting": "Ledger OperationsLog Starts StoreOverview Tally read_balance",
        "bridge.redis_adapter.broker_queues": "RedisBrokerQueues is_there",
        "bridge.redis_adapter.client": (
            "MasterWatch StoreClock connect connect_async "
            "connect_briefly connect_broker sentinel_options tls_options_of watch_server"
        ),
        "bridge.redis_adapter.errors": "REDIS_TROUBLES Trouble diagnose store_error",
        "bridge.redis_adapter.event_log": "History LiveSubscription PublishedEvents",
        "bridge.redis_adapter.failed_events": "DeadLetters KeptEvents RetrySet",
        "bridge.redis_adapter.keyspace": "Keyspace",
        "bridge.redis_adapter.preflight.servers": (
            "MIN_VERSION option_faults read_server server_faults server_pid server_warnings try_servers"
        ),
        "bridge.redis_adapter.publisher": "RedisSSEPublisher SSEPublisherProtocol get_sse_publisher",
        "bridge.redis_adapter.queue_discovery": "ForeignLists",
        "bridge.redis_adapter.redrive_jobs": "RedriveJobs",
        "bridge.redis_adapter.reports": "Gateways METRIC_PREFIX Producers Workers",
        "bridge.redis_adapter.rights": "RightsRecord WithdrawnRights",
        "bridge.redis_adapter.settler": "PendingPublish Settler",
        "bridge.redis_adapter.tickets": "TicketWriter Tickets",
        "bridge.redis_adapter.task_queue": "Announcer QueueNames RedisTaskQueue",
    },
)
