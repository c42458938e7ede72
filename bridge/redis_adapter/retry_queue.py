"""The retry set: events that wait in Redis for their next attempt, visible and leased, never in a worker's memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import redis

from bridge.model.bounds import PARSER_ERRORS
from bridge.model.retry import CLAIM_MAX, LEASE_S, RESEND_S, Attempt, Claim, RetryRecord, WaitingFor, WaitingRetry
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script
from bridge.settings import AccountingSettings

PAGE = 500
"""Retries that are read at once."""
LOOK_MAX = 1_000
"""Retries that one script call looks at for their queues …"""
LOOKS_MAX = 100
"""… and how many such calls a thorough look makes."""


class RetrySet:
    """``bridge.ports.RetryQueue`` on Redis."""

    def __init__(self, client: redis.Redis, settings: AccountingSettings) -> None:
        self._client = client
        self._keys = keyspace_of(client)
        self._max = settings.retry_max
        self._add = script("retry_add")
        self._claim = script("retry_claim")
        self._confirm = script("retry_confirm")

    def add(
        self,
        waiting: Sequence[tuple[RetryRecord, float]],
        *,
        message_id: str = "",
        event_type: str = "",
        only_unfinished: bool = False,
    ) -> frozenset[str]:
        args: list[str | int | bytes] = [self._max, message_id, event_type, int(only_unfinished)]
        for record, after_s in waiting:
            args += (record.event_id, record.attempt, int(after_s * 1000), msgspec.json.encode(record))
        with store_errors():
            refused = self._add.run(
                self._client,
                args,
            )
        return frozenset(text(event_id) for event_id in refused)

    def history(self, event_ids: Sequence[str]) -> dict[str, tuple[Attempt, ...]]:
        with store_errors():
            values = self._client.hmget(self._keys.RETRY_RECORDS, list(event_ids)) if event_ids else []
        records = (read_retry(value) for value in values if value is not None)
        return {record.event_id: record.attempts for record in records if record is not None}

    def unfinished(self, event_ids: Sequence[str]) -> frozenset[str]:
        with store_errors():
            values = self._client.hmget(self._keys.RETRY_RECORDS, list(event_ids)) if event_ids else []
        return frozenset(event_id for event_id, value in zip(event_ids, values, strict=True) if value is not None)

    def claim(self, limit: int = CLAIM_MAX) -> Claim:
        with store_errors():
            wait_ms, lease, *pairs = self._claim.run(self._client, [LEASE_S * 1000, limit])
        found = [
            (text(event_id), value, read_retry(value)) for event_id, value in zip(pairs[::2], pairs[1::2], strict=True)
        ]
        return Claim(
            records=tuple(record for _, _, record in found if record is not None),
            unreadable=tuple((event_id, bytes(value)) for event_id, value, record in found if record is None),
            lease=text(lease),
            next_due_s=None if wait_ms < 0 else wait_ms / 1000,
        )

    def confirm(self, claim: Claim) -> None:
        if claim.records:
            ids = [record.event_id for record in claim.records]
            with store_errors():
                self._confirm.run(self._client, [claim.lease, RESEND_S * 1000, *ids])

    def count(self) -> int:
        with store_errors():
            return int(self._client.hlen(self._keys.RETRY_RECORDS))

    # For operators

    def in_order(self, behind: tuple[float, str] | None = None) -> Iterator[WaitingRetry]:
        low, offset = "-inf" if behind is None else repr(behind[0]), 0
        while True:
            with store_errors():
                entries: Any = self._client.zrange(
                    self._keys.RETRY_DUE, low, "+inf", byscore=True, offset=offset, num=PAGE, withscores=True
                )
            known = [(text(event_id), float(due)) for event_id, due in entries]
            yield from self._read([(name, due) for name, due in known if behind is None or (due, name) > behind])
            if len(known) < PAGE:
                return
            # On from the last due time, not by rank: what is settled meanwhile would shift the ranks.
            behind = (known[-1][1], known[-1][0])
            last_due = repr(behind[0])
            low, offset = last_due, (offset + PAGE if last_due == low else 0)

    def by_queue(self, *, thorough: bool = False) -> tuple[WaitingFor, ...]:
        found: Counter[tuple[str, str]] = Counter()
        for look in range(LOOKS_MAX if thorough else 1):
            with store_errors():
                seen, *kinds = script("retry_queues").run(self._client, [look * LOOK_MAX, LOOK_MAX])
            for task, queue, number in zip(kinds[::3], kinds[1::3], kinds[2::3], strict=True):
                found[text(task), text(queue)] += number
            if seen < LOOK_MAX:
                break
        return tuple(WaitingFor(*kind, number) for kind, number in found.most_common())

    def make_due(self, event_ids: Sequence[str]) -> list[str]:
        return self._postpone(event_ids, "0")

    def take(self, event_ids: Sequence[str]) -> list[RetryRecord]:
        taken = self._postpone(event_ids, f"{LEASE_S * 1000 + 0.5}")
        return [waiting.record for waiting in self._read([(event_id, 0.0) for event_id in taken])]

    def _postpone(self, event_ids: Sequence[str], after_ms: str) -> list[str]:
        with store_errors():
            changed = script("retry_touch").run(self._client, [after_ms, *event_ids])
        return [text(event_id) for event_id in changed]

    def _read(self, places: Sequence[tuple[str, float]]) -> Iterator[WaitingRetry]:
        if not places:
            return
        with store_errors():
            values = self._client.hmget(self._keys.RETRY_RECORDS, [event_id for event_id, _ in places])
        for (_, due), value in zip(places, values, strict=True):
            record = None if value is None else read_retry(value)
            if record is not None:
                yield WaitingRetry(record=record, due_ms=int(due), taken=due % 1 != 0)


def read_retry(value: bytes | str) -> RetryRecord | None:
    """The record; None if it cannot be read."""
    try:
        _, _, record = text(value).partition(":")
        found = msgspec.json.decode(record, type=RetryRecord)
    except PARSER_ERRORS:
        return None
    return found if found.attempts else None
