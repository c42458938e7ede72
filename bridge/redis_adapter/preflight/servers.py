"""Whether a Redis is fit: by what INFO says of it, and by trying what a process does there, with its rights."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis

from bridge.redis_adapter.acl_rights import Scratch, rights_of
from bridge.redis_adapter.client import connect, connect_async, connect_broker, store_errors
from bridge.redis_adapter.errors import store_error
from bridge.redis_adapter.preflight.access import missing_rights
from bridge.redis_adapter.preflight.scripts import run_scripts, scripts_of
from bridge.settings import Process, Settings
from bridge.settings.topology import topology

MIN_VERSION = (7, 0)
"""Streams say how many entries were ever added since 7.0; replay depends on it."""
OUR_OPTIONS = frozenset({"protocol", "decode_responses", "encoding", "encoding_errors", "single_connection_client"})
"""Options of a URL that the bridge chooses itself: with others it could not read what Redis answers."""


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


def try_servers(process: Process, settings: Settings) -> Iterator[str]:
    """Do on each Redis that a process uses what it does there, with its rights and on scratch keys.

    Returns:
        What stands in its way, one sentence each, which begins with the server's name.
    """
    places = topology(settings)
    for server, rights in rights_of(process, settings).items():
        on_broker = server == "broker"
        names = scripts_of(process, on_broker=on_broker, one_server=places.one_server)
        place = places.broker if on_broker and places.broker else places.store
        try:
            with connect_broker(settings, briefly=True) if on_broker else connect(settings) as client:
                missing = missing_rights(client, rights, Scratch.within(rights), place.database)
                if missing:
                    page = f"docs/operating.md lists what the {process} needs."
                    yield f"{server}: {missing.sentence()}. {page}"
                else:
                    run_scripts(client, names, Scratch.within(rights), settings)
            if process == "gateway" and not missing:
                asyncio.run(_listen(settings, Scratch.within(rights).channel))
        except (redis.RedisError, OSError, TimeoutError) as error:
            yield f"{server}: {store_error(error)}"


async def _listen(settings: Settings, channel: str) -> None:
    """Hear a channel, over a connection as the gateway's event loop makes it."""
    client: Any = connect_async(settings)
    try:
        async with client.pubsub() as listening:
            await listening.subscribe(channel)
            await listening.parse_response(block=True)
    finally:
        await client.aclose()


def option_faults(url: str) -> list[str]:
    """Options of a URL that contradict what the bridge asks for."""
    named = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True) if name in OUR_OPTIONS]
    return [f"its URL sets {name}, which the bridge chooses itself; take it out." for name in dict.fromkeys(named)]
