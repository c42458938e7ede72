"""``RedriveJobs``: the records of redrives, and the lease on running one."""

from typing import Any

import msgspec
import redis

from bridge.model.redrive import RedriveRecord, RedriveState, RedriveStatus
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.redrive_letters import KEPT_S, RedriveLetters
from bridge.redis_adapter.script import as_hash, look, script
from bridge.settings import AccountingSettings

JOBS_MAX = 1000
"""Redrives that are remembered; the oldest fall off."""


class RedriveJobs:
    """``bridge.ports.RedriveJobs`` on Redis."""

    def __init__(self, client: redis.Redis, settings: AccountingSettings) -> None:
        self._client = client
        self._settings = settings
        self._key = keyspace_of(client).REDRIVES

    def job(self, job_id: str) -> "RedriveJob":
        return RedriveJob(self._client, self._settings, job_id)

    def newest(self, limit: int) -> list[str]:
        with store_errors():
            ids: Any = self._client.zrevrange(self._key, 0, limit - 1)
        return [text(job_id) for job_id in ids]


class RedriveJob(RedriveLetters):
    """``bridge.ports.RedriveJob`` on Redis: a hash beside the letters."""

    def begin(self, status: RedriveStatus) -> None:
        fields: dict[Any, Any] = {
            "selection": msgspec.json.encode(status.selection),
            "who": status.who,
            "rate": status.rate,
            "canary": status.canary,
            "max_failures": "" if status.max_failures is None else status.max_failures,
            "state": status.state.value,
            "created_ms": status.created_ms,
        }
        with store_errors(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hset(self._key, mapping=fields)
            pipeline.expire(self._key, KEPT_S)
            pipeline.zadd(self._keys.REDRIVES, {self._id: status.created_ms})
            pipeline.zremrangebyrank(self._keys.REDRIVES, 0, -JOBS_MAX - 1)
            pipeline.execute()

    def read(self) -> RedriveRecord | None:
        (seconds, _), flat, pending, in_flight = look(
            self._client, ("TIME",), ("HGETALL", self._key), ("ZCARD", self._pending), ("ZCARD", self._sent)
        )
        fields = as_hash(flat)
        if "state" not in fields:
            return None
        values: dict[str, Any] = {
            **fields,
            "selection": msgspec.json.decode(fields["selection"]),
            "max_failures": float(fields["max_failures"]) if fields["max_failures"] else None,
            "replay_id": self._id,
            "pending": pending,
            "under_way": in_flight,
        }
        return RedriveRecord(
            status=msgspec.convert(values, RedriveStatus, strict=False),
            is_leased=bool(fields.get("owner")) and int(fields.get("lease_ends", 0)) >= int(seconds) * 1000,
            stop_asked=bool(fields.get("stop")),
        )

    def move_to(self, state: RedriveState, reason: str = "", *, total: int | None = None) -> None:
        fields: dict[Any, Any] = {"state": state.value, "reason": reason, "stop": ""}
        if total is not None:
            fields["total"] = total
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hset(self._key, mapping=fields)
            pipeline.expire(self._key, KEPT_S)
            pipeline.execute()

    def count_canary(self, letters: int) -> None:
        with store_errors():
            self._client.hincrby(self._key, "canary_sent", letters)

    def ask_to_stop(self) -> None:
        with store_errors():
            self._client.hset(self._key, "stop", "1")

    def renew_lease(self, owner: str, lease_s: float) -> int:
        with store_errors():
            return int(script("redrive_lease").run(self._client, [owner, int(lease_s * 1000)], redrive=self._key))
