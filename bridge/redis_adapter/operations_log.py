"""``OperationsLog``: who did what to which letters and retries, when and why. Bounded; the newest are kept."""

from typing import cast

import msgspec
import redis

from bridge.model.log_entry import LogEntry
from bridge.redis_adapter.client import keyspace_of, store_errors, text
from bridge.redis_adapter.script import script

ENTRIES_MAX = 10_000


class OperationsLog:
    """``bridge.ports.OperationsLog`` on Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._key = keyspace_of(client).OPERATIONS_LOG

    def append(self, entry: LogEntry) -> None:
        fields: dict[str, str | bytes] = {
            "who": entry.who,
            "action": entry.action,
            "selection": entry.selection,
            "numbers": msgspec.json.encode(entry.numbers),
            "reason": entry.reason,
        }
        words: list[str | bytes] = [word for name, value in fields.items() for word in (name, value)]
        with store_errors():
            script("log").run(self._client, [ENTRIES_MAX, *words])

    def newest(self, limit: int = 100) -> list[LogEntry]:
        with store_errors():
            reply = self._client.xrevrange(self._key, count=limit)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", reply)
        return [
            _read(text(position), {text(name): text(value) for name, value in fields.items()})
            for position, fields in entries
        ]


def _read(position: str, fields: dict[str, str]) -> LogEntry:
    numbers = msgspec.json.decode(fields.get("numbers") or "{}", type=dict[str, int])
    return LogEntry(
        at_ms=int(position.partition("-")[0]),
        who=fields.get("who", ""),
        action=fields.get("action", ""),
        selection=fields.get("selection", ""),
        numbers=numbers,
        reason=fields.get("reason", ""),
    )
