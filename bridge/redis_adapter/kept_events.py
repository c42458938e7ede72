"""``KeptEvents``: what is kept of one event by its own id, read in one moment: its retry, its end, its tombstone."""

import redis

from bridge.model.dead_letter import read_letter, read_tombstone, unreadable
from bridge.model.moments import shown_time
from bridge.ports.failed_events import Kept
from bridge.redis_adapter.client import keyspace_of
from bridge.redis_adapter.retry_queue import read_retry
from bridge.redis_adapter.script import look


class KeptEvents:
    """``bridge.ports.KeptEvents`` on Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._keys = keyspace_of(client)

    def look_up(self, event_id: str) -> Kept:
        keys = self._keys
        (seconds, microseconds), record, due, letter, skipped, stone, stone_ms = look(
            self._client,
            ("TIME",),
            ("HGET", keys.RETRY_RECORDS, event_id),
            ("ZSCORE", keys.RETRY_DUE, event_id),
            ("HGET", keys.DEAD_LETTERS, event_id),
            ("ZSCORE", keys.SKIPPED, event_id),
            ("HGET", keys.TOMBSTONES, event_id),
            ("ZSCORE", keys.TOMBSTONE_TIMES, event_id),
        )
        at = "" if stone_ms is None else shown_time(int(float(stone_ms)))
        return Kept(
            now_ms=int(seconds) * 1000 + int(microseconds) / 1000,
            waits=record is not None,
            retry=None if record is None else read_retry(record),
            due_ms=None if due is None else float(due),
            letter=None if letter is None else read_letter(letter) or unreadable(event_id, letter),
            skipped_ms=None if skipped is None else int(float(skipped)),
            tombstone=None if stone is None else read_tombstone(event_id, stone, at),
        )
