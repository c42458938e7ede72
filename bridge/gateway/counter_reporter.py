"""``CounterReporter``: adds a gateway process' counters to the others' every few seconds, and hears of a new order."""

import asyncio
from collections.abc import Callable

from bridge.model.counting import Counters
from bridge.model.errors import StoreError
from bridge.model.plain_text import plain_logger
from bridge.model.position import Position
from bridge.ports import GatewayReports
from bridge.runtime.identity import process_name
from bridge.runtime.supervision import OnceAKind, supervised

logger = plain_logger(__name__)

BEAT_S = 5.0
LAST_BEAT_TIMEOUT_S = 1.0


class CounterReporter:
    """Runs until it is cancelled. What Redis does not take is added with the next beat.

    ``on_beginning`` is told where the order of the streams began, whenever that has changed since the last beat.
    """

    def __init__(
        self,
        gateways: GatewayReports,
        counters: Counters,
        connections: Callable[[], int],
        catalog: str,
        on_beginning: Callable[[Position], None],
    ) -> None:
        self._catalog = catalog
        self._on_beginning = on_beginning
        self._began = ""
        self._gateways = gateways
        self._counters = counters
        self._connections = connections
        self._told: dict[str, int] = dict.fromkeys(counters.as_dict(), 0)
        self._trouble = OnceAKind(logger)
        self._name = process_name()

    async def run(self) -> None:
        """Add up every few seconds."""
        while True:
            await self._beat()
            await asyncio.sleep(BEAT_S)

    async def close(self) -> None:
        """Add up a last time, after ``run`` was cancelled, and say good-bye."""
        try:
            async with asyncio.timeout(LAST_BEAT_TIMEOUT_S):
                await self._beat()
                await self._gateways.leave(self._name)
        except (StoreError, TimeoutError):
            logger.info("bridge.gateway.uncounted: Redis was away at the end.")

    async def _beat(self) -> None:
        now = self._counters.as_dict()
        grown = {name: number - self._told[name] for name, number in now.items() if number != self._told[name]}
        troubled = [state for state in supervised() if state.in_trouble]
        try:
            began = await self._gateways.add(
                self._name,
                connections=self._connections(),
                grown=grown,
                troubled=troubled,
                catalog=self._catalog,
            )
        except StoreError as error:
            self._trouble.log(error, "bridge.gateway.uncounted")
        else:
            self._told = now
            self._trouble.over()
            if began and began != self._began:
                self._on_beginning(Position(began))
            self._began = began
