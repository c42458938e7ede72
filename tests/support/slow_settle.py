"""``settle.lua`` without its fast branches, and what a bridge's keys hold after it, but for time and positions."""

from typing import Any

import redis

from bridge.redis_adapter import Keyspace
from bridge.redis_adapter.script import Script, script

_FAST_BRANCHES = {
    "local all_new = not repeated": "local all_new = false and not repeated",
    "elseif not end_whole(message) then": "else",
    "if not end_letters(message) then end_one_by_one(message) end": "end_one_by_one(message)",
}


def slow_settle() -> Script:
    """The script, made to take the general way always."""
    slow = object.__new__(Script)
    slow.key_names, slow.text = script("settle").key_names, script("settle").text
    for fast, general in _FAST_BRANCHES.items():
        assert fast in slow.text
        slow.text = slow.text.replace(fast, general)
    slow.sha = "0" * 40  # of no script that the server knows: it is sent as text
    return slow


def state_of(client: redis.Redis, keys: Keyspace) -> dict[str, Any]:
    """Everything under a prefix that a batch may change; of what depends on the time, only that it is there."""
    state: dict[str, Any] = {}
    for key in client.scan_iter(f"{keys.prefix}*"):
        name = key.decode().replace(keys.prefix, "")
        match client.type(key):
            case b"stream":
                state[name] = [fields for _, fields in client.xrange(key)]
            case b"hash":
                state[name] = client.hgetall(key)
            case b"zset":
                state[name] = set(client.zrange(key, 0, -1))
            case b"set":
                state[name] = client.smembers(key)
            case kind:
                state[name] = kind
    return state
