"""``Follower``: one gateway session whose client is this terminal; the gateway's promises hold here too."""

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping
from typing import Any
from uuid import UUID

from bridge.cli.console import say
from bridge.gateway.authenticator import Principal
from bridge.gateway.gateway import Gateway
from bridge.gateway.request import StreamRequest, Wanted
from bridge.gateway.withdrawals import Admission
from bridge.model.errors import BridgeError, StoreUnavailableError
from bridge.model.event_log import RESET_EVENT
from bridge.model.registry import Id, Registry
from bridge.on_demand import ROOT
from bridge.runtime.supervision import end_tasks
from bridge.settings import StreamSettings
from bridge.settings.urls import shown_url

WATCH_INTERVAL_S = 0.2
START_TIMEOUT_S = 10.0
"""In which Redis must answer at the start; a person waits longer than a probe does."""

PrintEvent = Callable[[str, str, str], None]
"""Takes id (empty for a control event), type and the payload as one line of JSON."""


class Follower:
    """Follows one user until cancelled."""

    def __init__(self, settings: StreamSettings, registry: Registry, *, print_event: PrintEvent) -> None:
        self._place = shown_url(settings.store_url)
        self._gateway = Gateway(settings, registry)
        self._print_event = print_event
        self._hide_unknown_id = False
        self._broken: Exception | None = None

    async def run(self, user: Id, *, wanted: Wanted, from_start: bool, last_event_id: UUID | None) -> None:
        """Follow.

        Raises:
            StoreUnavailableError: Redis does not answer at the start. Later outages are waited out.
            Exception: whatever printing an event raises.
        """
        # Outages are said below, in sentences.
        logging.getLogger(f"{ROOT}.gateway").addHandler(logging.NullHandler())
        self._hide_unknown_id = from_start
        resumes = from_start or last_event_id is not None
        request = StreamRequest(wanted=wanted, resumes=resumes, last_event_id=last_event_id)
        async with self._gateway.running():
            fault = await self._gateway.redis_fault(within_s=START_TIMEOUT_S)
            if fault:
                raise StoreUnavailableError(
                    f"Redis at {self._place} cannot be used. Check that it runs and that BRIDGE_REDIS_URL "
                    f"(or BRIDGE_BROKER_URL) is right. {fault}"
                )
            watching = asyncio.create_task(self._watch())
            try:
                # An operator's right is Redis', and no withdrawal ends it.
                admission = Admission(Principal(user=user), time.monotonic(), ())
                await self._gateway.serve(admission, request, {"type": "http"}, _receive, self._send)
            finally:
                await end_tasks(watching)
        raise self._broken or BridgeError("The stream has ended; start the command again.")

    async def _watch(self) -> None:
        """Say when Redis goes and when it is back."""
        await self._gateway.subscriptions.broadcast.confirmed.wait()
        there = True
        while True:
            if self._gateway.subscribed != there:
                there = not there
                say("Redis is back." if there else f"Redis at {self._place} is away; waiting.", colour="yellow")
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        """Print the frames in a part of the stream; each part holds whole frames."""
        for frame in message.get("body", b"").decode().split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in frame.split("\n"))
            if "data" not in fields:
                continue
            if fields["event"] == RESET_EVENT and self._hide_unknown_id and "unknown_id" in fields["data"]:
                continue  # from the start is from no id at all
            try:
                self._print_event(fields.get("id", ""), fields["event"], fields["data"])
            except Exception as error:
                self._broken = error  # to the session, it is a client that has left
                raise


async def _receive() -> MutableMapping[str, Any]:
    """A client that never hangs up."""
    await asyncio.Event().wait()
    raise AssertionError
