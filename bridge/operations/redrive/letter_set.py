"""``Snapshot``: which letters a replay is about, taken once, before anything is sent; and which are still pending."""

from collections.abc import Callable
from typing import Any

import redis

from bridge.operations.letters import Letters, chunks
from bridge.operations.redrive.job import ReplayState
from bridge.operations.redrive.rate import STEP
from bridge.operations.redrive.record import KEPT_S
from bridge.operations.selection import Selection
from bridge.operations.staleness import Staleness
from bridge.redis_adapter import DeadLetters
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script


class Snapshot:
    """The pending letters of one replay.

    Args:
        client: of the store.
        replay_id: of the replay.
        letters: where they come from.
        dead: reads them whole.
        staleness: tells which supersede which; None where no mapping of the registry has such a rule.
        keep_lease: called now and then; raises when the lease is lost.
    """

    def __init__(
        self,
        client: redis.Redis,
        replay_id: str,
        letters: Letters,
        dead: DeadLetters,
        staleness: Staleness | None,
        keep_lease: Callable[[], None],
    ) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._id = replay_id
        self._key = self._keys.replay_pending(replay_id)
        self._letters = letters
        self._dead = dead
        self._staleness = staleness
        self._keep_lease = keep_lease
        self._resend = script("replay_resend")

    def take(self, selection: Selection) -> None:
        """Write down every letter that matches; taken again after a crash, it is the same set or a larger one.

        Raises:
            OperationRefusedError: another process took the lease.
            StoreUnavailableError: Redis is away.
        """
        for part in chunks(self._letters.ids(selection), STEP):
            with store_errors():
                # One score for all: Redis then orders by id, which for UUIDv7 is by time.
                self._client.zadd(self._key, dict.fromkeys(part, 0))
            self._keep_lease()
        if self._staleness is not None:
            self._note_newest(self._staleness)
        with store_errors():
            total = self._client.zcard(self._key)
            self._client.hset(self._keys.replay(self._id), mapping={"total": total, "state": ReplayState.READY.value})

    def take_back_sent(self) -> None:
        """Have everything pending again that was sent and has no outcome.

        Raises:
            OperationRefusedError: another process took the lease.
            StoreUnavailableError: Redis is away.
        """
        taken = STEP
        while taken:
            with store_errors():
                taken = self._resend.run(self._client, [STEP], **self._keys.of_replay(self._id))
            self._keep_lease()

    def first(self, number: int, *, start: int = 0) -> list[str]:
        """Ids in the order in which they are sent."""
        with store_errors():
            ids: Any = self._client.zrange(self._key, start, start + number - 1)
        return [text(letter_id) for letter_id in ids]

    def spread(self, number: int, pending: int) -> list[str]:
        """Ids from all over the snapshot, for a canary: what fails may have come all at one time."""
        if number >= pending:
            return self.first(number)
        with store_errors(), self._client.pipeline(transaction=False) as pipeline:
            for place in range(number):
                rank = place * pending // number
                pipeline.zrange(self._key, rank, rank)
            return [text(ids[0]) for ids in pipeline.execute() if ids]

    # Superseding

    def newest(self) -> dict[str, str]:
        """What an event is about → age and id of the newest letter about it."""
        if self._staleness is None:
            return {}
        with store_errors():
            values: Any = self._client.hgetall(self._keys.replay_newest(self._id))
        return {text(name): text(value) for name, value in values.items()}

    def _note_newest(self, staleness: Staleness) -> None:
        newest_key = self._keys.replay_newest(self._id)
        start = 0
        while ids := self.first(STEP, start=start):
            newest = self.newest()
            staleness.note_newest(list(self._dead.get_many(ids).values()), newest)
            if newest:
                with store_errors():
                    self._client.hset(newest_key, mapping=dict[Any, Any](newest))
                    self._client.expire(newest_key, KEPT_S)
            start += STEP
            self._keep_lease()
