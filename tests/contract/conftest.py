"""Every test of this suite runs over every adapter of the ports. A further adapter is one line in ADAPTERS."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bridge.settings import Settings
from tests.support.adapters import Adapter, Opened, in_memory, redis_program, running, valkey_program

ADAPTERS: dict[str, Callable[[], str] | None] = {
    "memory": None,
    "redis": redis_program,
    "valkey": valkey_program,
}
"""Name → the program of the server behind it; None: there is none."""

REAL = [name for name, program in ADAPTERS.items() if program]

Open = Callable[..., Awaitable[Adapter]]


@pytest.fixture(scope="session", params=ADAPTERS)
def opening(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Opens one kind of adapter."""
    program = ADAPTERS[request.param]
    if program is None:
        yield in_memory
    else:
        with running(program(), tmp_path_factory.mktemp(request.param)) as server:
            yield server.opened


@pytest.fixture
async def opened(opening: Opened) -> AsyncIterator[Open]:
    """Opens it with these settings; ``away=True``: and with nobody behind it."""
    async with AsyncExitStack() as stack:

        async def open_with(*, away: bool = False, **values: Any) -> Adapter:
            return await stack.enter_async_context(opening(Settings(**values), away))

        yield open_with
