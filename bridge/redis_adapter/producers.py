"""``Producers``: what producers say of themselves, in a hash by producer."""

from typing import cast

import msgspec
import redis

from bridge.model.bounds import PARSER_ERRORS
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script
from bridge.runtime.reports import ProducerReport, Reported

PRODUCERS_MAX = 1000
"""Producers that are remembered; those that said nothing for longest fall off."""


class Producers:
    """``bridge.ports.ProducerReports`` on Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._report = script("report")

    def keep(self, producer: str, report: ProducerReport | None) -> None:
        if report is None:
            with store_errors():
                self._client.hdel(self._keys.PRODUCERS, producer)
            return
        fields = msgspec.to_builtins(report)
        del fields["at"]
        with store_errors():
            self._report.run(self._client, [PRODUCERS_MAX, producer, msgspec.json.encode(fields)[1:]])

    def all(self) -> list[Reported]:
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
