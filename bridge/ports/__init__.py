"""What the core needs from outside, as protocols: the real adapters and ``bridge.testing``'s twins satisfy them.

Every method that does I/O raises StoreUnavailableError where the store is away or full, and StoreRefusedError where it
refuses for good (BrokerError where it is the broker). What it was asked to do may have happened all the same. So each
method that writes says what a second call changes. Event ids are UUIDs as text in their usual form.
"""

from bridge.ports.events import (
    Channels,
    Destination,
    EventLog,
    LiveChannel,
    PastEvent,
    PendingPublish,
    Publication,
    Publications,
    Publisher,
    Sighting,
)
from bridge.ports.failed_events import DeadLetters, Kept, KeptEvents, OperationsLog, RetryQueue
from bridge.ports.outbox import OutboxDatabase
from bridge.ports.redrives import RedriveJob, RedriveJobs
from bridge.ports.rights import Issued, RightsRecord, Tickets, Told, WithdrawnRights
from bridge.ports.store import (
    BrokerQueues,
    Figures,
    ForeignQueues,
    Overview,
    ProducerReports,
    QueueNames,
    Store,
    WorkerReports,
    WrongKey,
)
from bridge.ports.streams import GatewayPorts, GatewayReports
from bridge.ports.work import Accounting, Clock, MasterWatch, Metrics, Queue, StartCounts, WorkerPorts
