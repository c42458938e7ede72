"""``Workers``: what workers say of themselves, in a hash by process."""

import msgspec
import redis

from bridge.model.bounds import PARSER_ERRORS
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.recent_outcomes import SAMPLE_MS, SAMPLED, SAMPLES_MAX
from bridge.redis_adapter.script import script
from bridge.runtime.reports import KnownWorker, WorkerReport, told_apart

FORGET_AFTER_S = 86_400
"""A worker that was silent for longer is swept when another one starts."""


class Workers:
    """``bridge.ports.WorkerReports`` on Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._beat = script("beat")

    def beat(self, name: str, report: WorkerReport, *, sweep: bool = False) -> None:
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
        with store_errors():
            self._client.hdel(self._keys.WORKERS, name)

    def known(self) -> tuple[KnownWorker, ...]:
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.hgetall(self._keys.WORKERS)
            (seconds, microseconds), records = pipeline.execute()
        now_ms = seconds * 1000 + microseconds // 1000
        read = (_read(text(name), record, now_ms) for name, record in records.items())
        return told_apart([worker for worker in read if worker is not None])


def _read(name: str, record: bytes | str, now_ms: int) -> KnownWorker | None:
    """None for what another version wrote."""
    at, _, report = text(record).partition(" ")
    try:
        said = msgspec.json.decode(report, type=WorkerReport)
        silent_s = max(0, now_ms - int(at)) / 1000
        return KnownWorker(name=f"{said.host}:{said.pid}", silent_s=silent_s, report=said, process=name)
    except PARSER_ERRORS:
        return None
