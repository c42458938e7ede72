"""Whether a Redis is fit to hold queues, streams and books; pure, from what its INFO says."""

import re
from collections.abc import Mapping
from typing import Any

MIN_VERSION = (7, 0)
"""Streams say how many entries were ever added since 7.0; replay depends on it."""


def server_faults(info: Mapping[str, Any]) -> list[str]:
    """Why the bridge cannot work with this server, one sentence each."""
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MIN_VERSION:
        return [f"it is version {version}; streams need 7.0 or later to tell whether events were trimmed."]
    return []


def server_warnings(info: Mapping[str, Any]) -> list[str]:
    """What may lose events on this server, one sentence each."""
    warnings = []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        warnings.append(f"maxmemory-policy is {policy}, which may evict queues and streams; set it to noeviction.")
    if not info.get("aof_enabled"):
        warnings.append("appendonly is off, so a restart of Redis loses what is queued; turn it on.")
    return warnings
