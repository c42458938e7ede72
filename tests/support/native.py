"""An EventSource as browsers have it: comes back by itself after a 200, and closes for good at anything else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import httpx

DELAY_MAX_S = 1.0
"""Waits no longer, whatever it was told, so that tests are short."""


class NativeEventSource:
    """Keeps the ids of all events.

    Attributes:
        ids: of the events, in order.
        answers: how many answers began.
        closed_by: the status for which it closed for good.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.ids: list[str] = []
        self.answers = 0
        self.closed_by: int | None = None
        self._url = url
        self._headers = {"Accept": "text/event-stream", **headers}
        self._last_event_id = ""
        self._delay_s = DELAY_MAX_S

    @property
    def has_position(self) -> bool:
        """Whether whatever is published from now on comes; an answer alone begins before that."""
        return bool(self._last_event_id)

    def __repr__(self) -> str:
        return f"{len(self.ids)} events, {self.answers} answers, closed by {self.closed_by}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect until the end of the block."""
        task = asyncio.create_task(self._stay())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _stay(self) -> None:
        async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=30)) as client:
            while self.closed_by is None:
                with suppress(httpx.HTTPError):
                    await self._connect(client)
                await asyncio.sleep(min(self._delay_s, DELAY_MAX_S))

    async def _connect(self, client: httpx.AsyncClient) -> None:
        headers = self._headers | ({"Last-Event-ID": self._last_event_id} if self._last_event_id else {})
        async with client.stream("GET", self._url, headers=headers) as response:
            self.answers += 1
            if response.status_code != 200 or "text/event-stream" not in response.headers.get("content-type", ""):
                self.closed_by = response.status_code
                return
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                if line:
                    name, _, text = line.partition(": ")
                    fields[name] = text
                    if name == "retry":
                        self._delay_s = int(text) / 1000
                else:
                    self._dispatch(fields)
                    fields = {}

    def _dispatch(self, fields: Mapping[str, str]) -> None:
        self._last_event_id = fields.get("id", self._last_event_id)
        if "data" in fields and "id" in fields:
            self.ids.append(fields["id"])
