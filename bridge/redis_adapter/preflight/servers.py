"""Each Redis of the settings, connected to as a process does it, and tried with that process's rights and scripts."""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis

from bridge.redis_adapter.acl_rights import rights_of
from bridge.redis_adapter.client import connect, connect_async, connect_broker
from bridge.redis_adapter.errors import store_error
from bridge.redis_adapter.preflight.access import missing_rights
from bridge.redis_adapter.preflight.scratch import Scratch
from bridge.redis_adapter.preflight.scripts import run_scripts, scripts_of
from bridge.settings import Process, Settings
from bridge.settings.topology import topology

OUR_OPTIONS = frozenset({"protocol", "decode_responses", "encoding", "encoding_errors", "single_connection_client"})
"""Options of a URL that the bridge chooses itself: with others it could not read what Redis answers."""


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
