"""``ReplayRecord``: what Redis knows of one replay, and the lease on running it."""

import time
from collections.abc import Mapping
from typing import Any

import msgspec
import redis

from bridge.model.errors import OperationRefusedError
from bridge.operations.redrive.job import ReplayState, ReplayStatus
from bridge.redis_adapter.client import keyspace_of, store_errors
from bridge.redis_adapter.read_only_script import as_hash, look
from bridge.redis_adapter.script import script

LEASE_S = 5.0
KEPT_S = 30 * 86_400
"""How long a replay is remembered after its state last changed."""
REPLAYS_MAX = 1000


class ReplayRecord:
    """Reads and writes the record of one replay.

    Args:
        client: of the store.
        replay_id: of the replay.
    """

    def __init__(self, client: redis.Redis, replay_id: str) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._id = replay_id
        self._key = self._keys.replay(replay_id)
        self._lease = script("replay_lease")

    def begin(self, values: Mapping[str, Any], now_ms: int) -> None:
        """Write the replay down.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        fields: dict[Any, Any] = {**values, "state": ReplayState.BUILDING.value, "created_ms": now_ms}
        with store_errors(), self._client.pipeline(transaction=True) as pipeline:
            pipeline.hset(self._key, mapping=fields)
            pipeline.expire(self._key, KEPT_S)
            pipeline.zadd(self._keys.REPLAYS, {self._id: now_ms})
            pipeline.zremrangebyrank(self._keys.REPLAYS, 0, -REPLAYS_MAX - 1)
            pipeline.execute()

    def status(self) -> ReplayStatus | None:
        """How far the replay is; None if there is none of that id.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        raw, pending, under_way = look(
            self._client,
            ("HGETALL", self._key),
            ("ZCARD", self._keys.replay_pending(self._id)),
            ("ZCARD", self._keys.replay_sent(self._id)),
        )
        values = as_hash(raw)
        if "state" not in values:
            return None
        return msgspec.convert(
            {
                **values,
                "selection": msgspec.json.decode(values["selection"]),
                "max_failures": float(values["max_failures"]) if values["max_failures"] else None,
                "replay_id": self._id,
                "pending": pending,
                "under_way": under_way,
            },
            ReplayStatus,
            strict=False,
        )

    def known(self) -> ReplayStatus:
        """As ``status``.

        Raises:
            OperationRefusedError: there is none.
            StoreUnavailableError: Redis is away.
        """
        status = self.status()
        if status is None:
            raise OperationRefusedError(f"There is no replay {self._id}; see sse-bridge dead replays.")
        return status

    def set_state(self, state: ReplayState, reason: str = "") -> None:
        """Write down where the replay stands; nobody asks it to stop any more.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hset(self._key, mapping={"state": state.value, "reason": reason, "stop": ""})
            pipeline.expire(self._key, KEPT_S)
            pipeline.execute()

    def set(self, **values: str | int) -> None:
        """Write fields of the record.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            self._client.hset(self._key, mapping=dict[Any, Any](values))

    def add(self, field: str, number: int) -> None:
        """Count something.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            self._client.hincrby(self._key, field, number)

    # Stopping

    def ask_to_stop(self) -> None:
        """Have whatever process runs the replay pause it.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        self.set(stop="1")

    def stop_was_asked(self) -> bool:
        """Whether somebody did.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            return bool(self._client.hget(self._key, "stop"))

    # The lease

    def take(self, owner: str) -> None:
        """Get the lease; one that is running out is waited for.

        Raises:
            OperationRefusedError: there is no such replay, it is done, or another process runs it.
            StoreUnavailableError: Redis is away.
        """
        if self.known().state is ReplayState.DONE:
            raise OperationRefusedError(f"Replay {self._id} is done; there is nothing left to send.")
        deadline = time.monotonic() + LEASE_S + 1
        while rest_ms := self.renew(owner):
            if time.monotonic() + rest_ms / 1000 > deadline:
                raise OperationRefusedError(f"Replay {self._id} is being run by {self.known().owner}.")
            time.sleep(min(rest_ms / 1000, 0.2))

    def renew(self, owner: str) -> int:
        """Take or keep the lease; 0 if this owner has it, otherwise ms until it ends.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors():
            return int(self._lease.run(self._client, [owner, int(LEASE_S * 1000)], replay=self._key))

    def give_back(self, owner: str) -> None:
        """End the lease, if this owner has it.

        Raises:
            StoreUnavailableError: Redis is away; the lease ends by itself.
        """
        with store_errors():
            self._lease.run(self._client, [owner, 0], replay=self._key)

    def is_leased(self) -> bool:
        """Whether a living process, here or elsewhere, runs the replay.

        Raises:
            StoreUnavailableError: Redis is away.
        """
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.hmget(self._key, ["owner", "lease_ends"])
            pipeline.time()
            answer: Any = pipeline.execute()
        (owner, lease_ends), (seconds, _) = answer
        return bool(owner) and int(lease_ends or 0) >= int(seconds) * 1000
