"""``RedriveJobs``: the records of redrives, and the lease on running one; what a record means its readers know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.read_only_script import as_hash, look
from bridge.redis_adapter.redrive_letters import KEPT_S, RedriveLetters
from bridge.redis_adapter.script import script
from bridge.settings import AccountingSettings

JOBS_MAX = 1000
"""Redrives that are remembered; the oldest fall off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """A redrive at one moment."""

    fields: Mapping[str, str]  # as they were written
    pending: int  # letters that are not sent yet
    in_flight: int  # letters that were sent and have no outcome yet


class RedriveJobs:
    """All redrives of one bridge."""

    def __init__(self, client: redis.Redis, settings: AccountingSettings) -> None:
        self._client = client
        self._settings = settings
        self._keys = keyspace_of(client)

    def job(self, job_id: str) -> "RedriveJob":
        """One of them; reads nothing."""
        return RedriveJob(self._client, self._settings, job_id)

    def newest(self, limit: int) -> list[str]:
        """Ids of the newest, newest first."""
        with store_errors():
            ids: Any = self._client.zrevrange(self._keys.REDRIVES, 0, limit - 1)
        return [text(job_id) for job_id in ids]


class RedriveJob:
    """Reads and writes the record of one redrive; ``letters`` has which it is about, and what became of them."""

    def __init__(self, client: redis.Redis, settings: AccountingSettings, job_id: str) -> None:
        self.job_id = job_id
        self.letters = RedriveLetters(client, settings, job_id)
        self._client = client
        self._keys = keyspace_of(client)
        self._key = self._keys.redrive(job_id)

    def begin(self, fields: Mapping[str, str | bytes | float], now_ms: int) -> None:
        """Write the redrive down."""
        with store_errors(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hset(self._key, mapping=dict[Any, Any](fields))
            pipeline.expire(self._key, KEPT_S)
            pipeline.zadd(self._keys.REDRIVES, {self.job_id: now_ms})
            pipeline.zremrangebyrank(self._keys.REDRIVES, 0, -JOBS_MAX - 1)
            pipeline.execute()

    def read(self) -> JobRecord | None:
        """How far the redrive is; None if there is none of that id."""
        fields, pending, in_flight = look(
            self._client,
            ("HGETALL", self._key),
            ("ZCARD", self._keys.redrive_pending(self.job_id)),
            ("ZCARD", self._keys.redrive_sent(self.job_id)),
        )
        return JobRecord(fields=as_hash(fields), pending=pending, in_flight=in_flight) if fields else None

    def set(self, **fields: str | int) -> None:
        """Write fields of the record."""
        with store_errors():
            self._client.hset(self._key, mapping=dict[Any, Any](fields))

    def set_state(self, state: str, reason: str) -> None:
        """Write down where the redrive stands; an earlier request to stop is forgotten."""
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hset(self._key, mapping={"state": state, "reason": reason, "stop": ""})
            pipeline.expire(self._key, KEPT_S)
            pipeline.execute()

    def add(self, field: str, number: int) -> None:
        """Count something."""
        with store_errors():
            self._client.hincrby(self._key, field, number)

    def ask_to_stop(self) -> None:
        """Have whatever process runs the redrive pause it."""
        self.set(stop="1")

    def stop_was_asked(self) -> bool:
        """Whether somebody did."""
        with store_errors():
            return bool(self._client.hget(self._key, "stop"))

    # The lease

    def renew_lease(self, owner: str, lease_s: float) -> int:
        """Take or keep the lease; 0 if this owner has it, otherwise ms until it ends. With 0 s, give it back."""
        with store_errors():
            return int(script("redrive_lease").run(self._client, [owner, int(lease_s * 1000)], redrive=self._key))

    def is_leased(self) -> bool:
        """Whether a living process, here or elsewhere, runs the redrive."""
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hmget(self._key, ["owner", "lease_ends"])
            pipeline.time()
            answer: Any = pipeline.execute()
        (owner, lease_ends), (seconds, _) = answer
        return bool(owner) and int(lease_ends or 0) >= int(seconds) * 1000
