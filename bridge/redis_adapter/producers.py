"""What producers say of themselves: how many events each has accepted, and how many it still holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import redis

from bridge.model.bounds import PARSER_ERRORS
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script
from bridge.runtime.supervision import Supervised

PRODUCERS_MAX = 1000
"""Producers that are remembered; those that said nothing for longest fall off."""


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
    oldest_s: float = 0.0  # how long the oldest event waits that the broker does not have
    accepted_age_s: float = 0.0  # since it last accepted an event
    sent_age_s: float = 0.0  # since the broker last took something from it
    trouble: str = ""  # the last one since then; empty if there was none
    threads: tuple[Supervised, ...] = ()
    left: bool = False  # it ended in order, and left behind what the figures say
    catalog: str = ""  # identity of its registry
    release: str = ""  # the team's own version; empty if it has none
    at: int = 0  # when it said so, in ms of Redis time; 0 before it did


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """A report with its place in the accounting: the name of the producer, and the report's age by Redis' clock."""

    producer: str
    age_s: float
    report: ProducerReport


class Producers:
    """Write, read and withdraw reports."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._report = script("report")

    def keep(self, producer: str, report: ProducerReport | None) -> None:
        """Keep a report in place of the producer's last one; None withdraws that. Idempotent."""
        if report is None:
            with store_errors():
                self._client.hdel(self._keys.PRODUCERS, producer)
            return
        fields = msgspec.to_builtins(report)
        del fields["at"]
        with store_errors():
            self._report.run(self._client, [PRODUCERS_MAX, producer, msgspec.json.encode(fields)[1:]])

    def forget(self, names: Sequence[str]) -> None:
        """Withdraw the reports of producers that went away. Idempotent."""
        with store_errors():
            self._client.hdel(self._keys.PRODUCERS, *names)

    def all(self) -> list[Reported]:
        """Every report, the oldest first. What cannot be read is left out."""
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hgetall(self._keys.PRODUCERS)
            (seconds, microseconds), values = cast(
                "tuple[tuple[int, int], dict[bytes, bytes]]", tuple(pipeline.execute())
            )
        now_ms = seconds * 1000 + microseconds / 1000
        found = ((text(name), _read(value)) for name, value in values.items())
        reports = [
            Reported(producer=name, age_s=max(0.0, now_ms - report.at) / 1000, report=report)
            for name, report in found
            if report is not None
        ]
        return sorted(reports, key=lambda reported: reported.report.at)


def _read(value: bytes) -> ProducerReport | None:
    try:
        return msgspec.json.decode(value, type=ProducerReport)
    except PARSER_ERRORS:
        return None
