"""``lifespan_of``: the lifespan of the application that ``with_bridge`` wraps, if it has one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from bridge.runtime.supervision import end_tasks

ASGI = {"version": "3.0", "spec_version": "2.0"}
ENDED = ""
"""In place of an answer."""


@asynccontextmanager
async def lifespan_of(application: Any) -> AsyncIterator[Any]:
    """Run it around what is within; yields the state that its requests are to have, or None.

    Raises:
        RuntimeError: the application says that it could not begin, or not end.
    """
    lifespan = _Lifespan(application)
    try:
        await lifespan.tell("startup")
        yield lifespan.state or None
        await lifespan.tell("shutdown")
    finally:
        await lifespan.leave()


class _Lifespan:
    """Speaks ASGI's lifespan as a server does. Of an application that has none, nothing is asked any more."""

    def __init__(self, application: Any) -> None:
        self.state: dict[str, Any] = {}
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        # A task of its own: some frameworks' scopes must be left on the task that entered them.
        self._task = asyncio.create_task(self._run(application))

    async def tell(self, step: str) -> None:
        """Say that the server begins or ends, and wait until the application has done its part."""
        if self._task.done():
            return
        self._told.put_nowait({"type": f"lifespan.{step}"})
        answer = await self._answers.get()
        if answer["type"] == f"lifespan.{step}.failed":
            raise RuntimeError(f"The {step} of the application failed: {answer.get('message', '')}")

    async def leave(self) -> None:
        """It has said all, and some wait for more."""
        await end_tasks(self._task)

    async def _run(self, application: Any) -> None:
        scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
        try:
            with suppress(Exception):  # so Django says that it has none; whoever has one has answered what failed
                await application(scope, self._told.get, self._answer)
        finally:
            self._answers.put_nowait({"type": ENDED})

    async def _answer(self, message: dict[str, Any]) -> None:
        if not message["type"].startswith("lifespan."):
            raise RuntimeError(f"This is a lifespan, and no place for {message['type']}.")
        self._answers.put_nowait(message)
