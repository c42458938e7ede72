"""What processes say of themselves, each dated by the store's clock when it comes: workers, producers, gateways."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from bridge.runtime.supervision import Supervised

TOKEN_SHOWN_CHARS = 4
"""Of the random part of a name, where two workers share host name and process id."""


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself. Ages are by its own monotonic clock, so that no two clocks are compared."""

    host: str  # where it runs
    pid: int
    node: str  # its name in Celery
    pool: str
    processes: int  # how many messages it runs at once
    queues: tuple[str, ...]
    started: str  # when; RFC 3339, UTC, by its own clock
    consumed: int  # messages that it has started to run
    in_hand: int  # messages that it has taken and not finished
    running: int  # how many of them run
    consumed_age_s: float  # since it last started one, or since its own start
    loop_age_s: float  # since its consuming loop last turned
    oldest_task_s: float  # since the oldest running message of the bridge was started; 0 if none runs
    refused: dict[str, str] = {}  # queues that the broker does not let it consume → why
    blocked: bool = False  # whether the broker takes no messages from it, for want of memory or disk
    forbidden: str = ""  # what Redis or the broker refuses it for good, in a sentence; empty if nothing
    catalog: str = ""  # identity of its registry (``CatalogIdentity``)
    release: str = ""  # the team's own version; empty if it has none
    threads: tuple[Supervised, ...] = ()


class KnownWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that did not say good-bye."""

    name: str  # ``<host>:<pid>``; with a part of ``process`` where two share that, as containers may
    silent_s: float  # since it was last heard, by the store's clock
    process: str = ""  # ``<host>:<pid>:<random>``
    report: WorkerReport  # what it said then


def told_apart(workers: Sequence[KnownWorker]) -> tuple[KnownWorker, ...]:
    """By name, which is longer where two share one."""
    times = Counter(worker.name for worker in workers)
    named = [worker if times[worker.name] == 1 else _named_longer(worker) for worker in workers]
    return tuple(sorted(named, key=lambda worker: worker.name))


def _named_longer(worker: KnownWorker) -> KnownWorker:
    token = worker.process.rpartition(":")[2][:TOKEN_SHOWN_CHARS]
    return msgspec.structs.replace(worker, name=f"{worker.name}~{token}")


class OutboxReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that drains an outbox says of it. Several say it of one table: the newest counts."""

    database: str  # which, without user and password
    waiting: int = 0  # rows that the broker does not have
    oldest_s: float = 0.0  # since the oldest of them was emitted
    set_aside: int = 0  # rows that are not sent: damaged, or perhaps published already
    foreign: int = 0  # of the waiting, rows of types or schema versions that this process does not know
    sent: int = 0  # by this process
    full: bool = False  # whether it takes no more rows
    trouble: str = ""  # why the table cannot be read, in a sentence; empty if it can


class ProducerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one process says of its events."""

    host: str
    pid: int
    started: str  # when its emitter was made; RFC 3339, UTC, by its own clock
    accepted: int = 0  # taken over from business code
    delivered: int = 0  # the broker has them
    waiting: int = 0  # in its memory: gone if it is killed
    spooled: int = 0  # in its spool on disk, which the next process sends
    refused: int = 0  # not accepted: unreadable, too large, or no room
    abandoned: int = 0  # it ended before the broker had them, or could not write them
    unmapped: int = 0  # their class is not in its registry; the first names of such classes are in ``unmapped_classes``
    unmapped_classes: tuple[str, ...] = ()
    set_aside: int = 0  # spool files that it set aside because they cannot be read
    outboxes: tuple[OutboxReport, ...] = ()  # the tables that it drains
    oldest_s: float = 0.0  # how long the oldest event waits that the broker does not have
    accepted_age_s: float = 0.0  # since it last accepted an event
    sent_age_s: float = 0.0  # since the broker last took something from it
    trouble: str = ""  # the last one since then; empty if there was none
    threads: tuple[Supervised, ...] = ()
    left: bool = False  # it ended in order, and left behind what the figures say
    catalog: str = ""  # identity of its registry
    release: str = ""  # the team's own version; empty if it has none
    at: int = 0  # when it said so, in ms of Redis time; 0 before it did


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """A report with its place in the accounting: the name of the producer, and the report's age by Redis' clock."""

    producer: str
    age_s: float
    report: ProducerReport


class GatewayStates(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway processes at one moment."""

    processes: int  # that were heard within a minute
    connections: int  # streams that they have open
    # Name of a process → its tasks and threads that are in trouble
    threads: Mapping[str, tuple[Supervised, ...]] = msgspec.field(default_factory=dict)
    catalogs: tuple[tuple[str, str], ...] = ()  # name of each process, and the identity of its registry
