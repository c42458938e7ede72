"""The workers' own reports: each says every few seconds that it lives, and how its consuming goes."""

from dataclasses import dataclass

import msgspec
import redis

from bridge.bounds import PARSER_ERRORS
from bridge.store.client import keyspace_of, script_text, store_errors, text

FORGET_AFTER_S = 86_400
"""A worker that was silent for longer is swept when another one starts."""


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of itself. Ages are by its own monotonic clock, so that no two clocks are compared.

    Attributes:
        host: where it runs.
        pid: of its main process.
        node: its name in Celery.
        pool: kind of its pool: prefork, solo, threads …
        processes: how many messages it runs at once.
        queues: that it consumes.
        started: when; RFC 3339, UTC, by its own clock.
        consumed: messages that it has started to run.
        in_hand: messages that it has taken and not finished.
        running: those of them that run.
        consumed_age_s: since it last started one, or since its own start.
        loop_age_s: since its consuming loop last turned.
        oldest_task_s: since the oldest running message of the bridge was started; 0 if none runs.
        refused: queues that the broker does not let it consume → why.
        blocked: whether the broker takes no messages from it, for want of memory or disk.
    """

    host: str
    pid: int
    node: str
    pool: str
    processes: int
    queues: tuple[str, ...]
    started: str
    consumed: int
    in_hand: int
    running: int
    consumed_age_s: float
    loop_age_s: float
    oldest_task_s: float
    refused: dict[str, str] = {}
    blocked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownWorker:
    """A worker that did not say good-bye.

    Attributes:
        name: ``<host>:<pid>``.
        heard_ms: when it was last heard, in ms of Redis time.
        report: what it said then.
    """

    name: str
    heard_ms: int
    report: WorkerReport


class Workers:
    """Write and read the reports."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._beat = client.register_script(script_text("beat"))

    def beat(self, name: str, report: WorkerReport, *, sweep: bool = False) -> None:
        """Write a report down; with ``sweep``, forget the workers that were silent for a day.

        Raises:
            StoreUnavailableError: Redis is away or refuses writes.
        """
        with store_errors():
            self._beat(
                keys=[self._keys.WORKERS],
                args=[name, msgspec.json.encode(report), FORGET_AFTER_S * 1000 if sweep else ""],
            )

    def leave(self, name: str) -> None:
        """A worker stops, as it should.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            self._client.hdel(self._keys.WORKERS, name)

    def known(self) -> tuple[KnownWorker, ...]:
        """All that did not say good-bye, by name.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            records = self._client.hgetall(self._keys.WORKERS)
        found = (_read(text(name), record) for name, record in records.items())
        return tuple(sorted((worker for worker in found if worker is not None), key=lambda worker: worker.name))


def _read(name: str, record: bytes | str) -> KnownWorker | None:
    """None for what another version wrote."""
    at, _, report = text(record).partition(" ")
    try:
        return KnownWorker(name=name, heard_ms=int(at), report=msgspec.json.decode(report, type=WorkerReport))
    except PARSER_ERRORS:
        return None
