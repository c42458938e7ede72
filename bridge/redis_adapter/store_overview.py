"""``StoreOverview``: the store's figures at one moment, as operators watch them, and whether it takes writes."""

from typing import Any, cast

import redis

from bridge.model.accounting import Recent
from bridge.model.errors import StoreError
from bridge.ports.store import Figures
from bridge.redis_adapter.accounting import read_balance
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.gateway_counts import read_gateways
from bridge.redis_adapter.recent_outcomes import read_recent

PROBE_LIFE_MS = 1


class StoreOverview:
    """``bridge.ports.Overview`` on Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)

    def read(self) -> Figures:
        keys = self._keys
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.zrange(keys.RETRY_DUE, 0, 0, withscores=True)
            pipeline.zrange(keys.DEAD_INDEX, 0, 0, withscores=True)
            pipeline.zrange(keys.DEAD_INDEX, -1, -1, withscores=True)
            pipeline.zcard(keys.DEAD_INDEX)
            pipeline.hgetall(keys.METRICS)
            pipeline.hgetall(keys.GATEWAYS)
            pipeline.lrange(keys.RECENT, 0, -1)
            pipeline.hgetall(keys.COUNTS)
            time, due, oldest, newest, letters, metrics, gateways, samples, counts = pipeline.execute()
        now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
        known = _numbers(counts)
        return Figures(
            at_ms=now_ms,
            retry_next_ms=_score(due),
            dead_oldest_ms=_score(oldest),
            dead_newest_ms=_score(newest),
            letters=letters,
            letters_bytes=known.get("dead_bytes", 0),
            metrics=_numbers(metrics),
            gateways=read_gateways(gateways, now_ms),
            recent=self._mended(read_recent(samples, known, now_ms)),
            balance=read_balance(self._client),
        )

    def write_refusal(self) -> StoreError | None:
        try:
            with store_errors():
                self._client.set(self._keys.PROBE, 1, px=PROBE_LIFE_MS)
        except StoreError as error:
            return error
        return None

    def _mended(self, recent: Recent) -> Recent:
        if not recent.dead:
            return recent
        with store_errors():
            return recent.remaining(int(self._client.zcount(self._keys.DEAD_INDEX, recent.since_ms, "+inf")))


def _score(entries: Any) -> float | None:
    return float(entries[0][1]) if entries else None


def _numbers(found: Any) -> dict[str, int]:
    return {text(name): int(value) for name, value in cast("dict[bytes, bytes]", found).items()}
