"""The balance, read in one moment."""

import redis

from bridge.model.accounting import Balance
from bridge.redis_adapter.client import keyspace_of
from bridge.redis_adapter.read_only_script import as_hash, look


def read_balance(client: redis.Redis) -> Balance:
    """Read the accounting in one moment."""
    keys = keyspace_of(client)
    raw, retrying, letters = look(
        client, ("HGETALL", keys.COUNTS), ("HLEN", keys.RETRY_RECORDS), ("HLEN", keys.DEAD_LETTERS)
    )
    counts = {name: int(value) for name, value in as_hash(raw).items()}
    return Balance.of(counts, retrying=retrying, letters=letters)
