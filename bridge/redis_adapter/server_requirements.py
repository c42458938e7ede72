"""Judges from INFO whether a Redis is fit to hold queues, streams and accounting."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import redis

from bridge.redis_adapter.client import store_errors

MIN_VERSION = (7, 0)
"""Streams say how many entries were ever added since 7.0; replay depends on it."""


def read_server(client: redis.Redis) -> dict[str, Any]:
    """What INFO says; empty where the user may not ask."""
    with store_errors():
        client.ping()
        with suppress(redis.exceptions.NoPermissionError):
            return dict(client.info())
    return {}


def server_faults(info: Mapping[str, Any]) -> list[str]:
    """Why the bridge cannot work with this server, one sentence each."""
    faults = []
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MIN_VERSION:
        faults.append(f"it is version {version}; streams need 7.0 or later to tell whether events were trimmed.")
    if info.get("redis_mode") == "cluster" or info.get("cluster_enabled"):
        faults.append("it is a node of a Redis Cluster; the bridge needs one Redis, or a master behind Sentinel.")
    if info.get("redis_mode") == "sentinel":
        faults.append("it is a sentinel and no Redis; its URL begins with sentinel://.")
    if info.get("role") in ("slave", "replica"):
        faults.append("it is a replica, which takes no writes; name its master, or the sentinels (sentinel://).")
    return faults


def server_warnings(info: Mapping[str, Any]) -> list[str]:
    """What may lose events on this server, one sentence each."""
    warnings = []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        warnings.append(f"maxmemory-policy is {policy}, which may evict queues and streams; set it to noeviction.")
    if not info.get("aof_enabled"):
        warnings.append("appendonly is off, so a restart of Redis loses what is queued; turn it on.")
    return warnings


def server_pid(port: int, password: str) -> int:
    """Process id of the server that answers on a port of this machine; 0 if none does."""
    with redis.Redis(port=port, password=password or None, socket_timeout=1) as client:
        try:
            return int(client.info("server")["process_id"])
        except (redis.RedisError, KeyError):
            return 0
