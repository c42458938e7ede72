"""The workers' own reports: each says every few seconds that it lives, and how its consuming goes."""

from collections import Counter
from dataclasses import dataclass, replace

import msgspec
import redis

from bridge.model.bounds import PARSER_ERRORS
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.recent_outcomes import SAMPLE_MS, SAMPLED, SAMPLES_MAX
from bridge.redis_adapter.script import script
from bridge.runtime.supervision import Supervised

FORGET_AFTER_S = 86_400
"""A worker that was silent for longer is swept when another one starts."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownWorker:
    """A worker that did not say good-bye."""

    name: str  # ``<host>:<pid>``; with a part of ``process`` where two share that, as containers may
    heard_ms: int  # when it was last heard, in ms of Redis time
    process: str = ""  # ``<host>:<pid>:<random>``
    report: WorkerReport  # what it said then


class Workers:
    """Write and read the reports."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._beat = script("beat")

    def beat(self, name: str, report: WorkerReport, *, sweep: bool = False) -> None:
        """Write a report down; with ``sweep``, forget the workers that were silent for a day."""
        with store_errors():
            self._beat.run(
                self._client,
                [
                    name,
                    msgspec.json.encode(report),
                    FORGET_AFTER_S * 1000 if sweep else "",
                    SAMPLE_MS,
                    SAMPLES_MAX,
                    *SAMPLED,
                ],
            )

    def leave(self, name: str) -> None:
        """A worker stops, as it should."""
        with store_errors():
            self._client.hdel(self._keys.WORKERS, name)

    def known(self) -> tuple[KnownWorker, ...]:
        """All that did not say good-bye, by name."""
        with store_errors():
            records = self._client.hgetall(self._keys.WORKERS)
        read = (_read(text(name), record) for name, record in records.items())
        found = [worker for worker in read if worker is not None]
        shared = {name for name, times in Counter(worker.name for worker in found).items() if times > 1}
        told = (_told_apart(worker) if worker.name in shared else worker for worker in found)
        return tuple(sorted(told, key=lambda worker: worker.name))


def _read(name: str, record: bytes | str) -> KnownWorker | None:
    """None for what another version wrote."""
    at, _, report = text(record).partition(" ")
    try:
        said = msgspec.json.decode(report, type=WorkerReport)
        return KnownWorker(name=f"{said.host}:{said.pid}", heard_ms=int(at), report=said, process=name)
    except PARSER_ERRORS:
        return None


def _told_apart(worker: KnownWorker) -> KnownWorker:
    return replace(worker, name=f"{worker.name}~{worker.process.rpartition(':')[2][:TOKEN_SHOWN_CHARS]}")
