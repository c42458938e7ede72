"""A TCP proxy whose line is as bad as a test wants it: cut, slow, one-way, held back, refused."""

import asyncio
import random
import threading
from collections.abc import Callable, Collection
from enum import Enum
from types import TracebackType
from typing import Self

from tests.support.waiting import WAIT_S

CHUNK = 65_536
START_TIMEOUT_S = WAIT_S


class Way(Enum):
    """In which direction bytes travel."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


class Proxy:
    """Listens on a port of its own and forwards to ``target_port``, on an event loop in a thread.

    Faults are switched from any thread and last until ``heal``. What a real network does not do, the proxy does not
    either: a connection that lost bytes never gets another one in that direction, so no stream has a hole in it.

    Args:
        target_port: on loopback.
        dice: decides about jitter.
    """

    def __init__(self, target_port: int, dice: random.Random) -> None:
        self.port = 0
        self.connections = 0
        self._target_port = target_port
        self._dice = random.Random(dice.random())
        self._lines: set[_Line] = set()
        self._delay_s = (0.0, 0.0)
        self._flows = {way: asyncio.Event() for way in Way}
        self._loop = asyncio.new_event_loop()
        self._listener: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._flow)
        self._do(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT_S)
        self._loop.close()

    # Faults

    def cut(self, ports: Collection[int] = ()) -> None:
        """Reset every connection that is open now, or those from these ports of their clients; new ones are taken."""
        self._do(lambda: self._cut(ports))

    def cut_mid_reply(self, after_bytes: int) -> None:
        """Reset each connection that is open now after so many more bytes from the server."""
        self._do(lambda: self._limit(after_bytes))

    def slow(self, at_least_s: float, at_most_s: float) -> None:
        """Delay every piece of data, in both directions, by a random time."""
        self._delay_s = (at_least_s, at_most_s)

    def swallow(self, way: Way) -> None:
        """Lose, on each connection that is open now, whatever travels this way from now on; nobody is told."""
        self._do(lambda: self._swallow(way))

    def hold(self, way: Way) -> None:
        """Hold back what travels this way; it arrives at ``heal``, however long its sender has given up."""
        self._do(self._flows[way].clear)

    def refuse(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._do(self._refuse)

    def move(self, target_port: int) -> None:
        """Lead new connections elsewhere, as a name that moves; those that are open stay where they are."""
        self._target_port = target_port

    def heal(self) -> None:
        """End all faults. Connections that lost bytes stay as dead as they are."""
        self._delay_s = (0.0, 0.0)
        self._do(self._flow)
        self._do(self._listen)

    # On the loop

    def _do(self, act: Callable[[], object]) -> None:
        """Run on the loop, and wait until it is done."""

        async def run() -> None:
            answer = act()
            if asyncio.iscoroutine(answer):
                await answer

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(START_TIMEOUT_S)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    def _flow(self) -> None:
        for flows in self._flows.values():
            flows.set()

    async def _end(self) -> None:
        self._refuse()
        # Also those of connections that were just taken, and have no line yet.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted transport ends in the loop's next round

    def _cut(self, ports: Collection[int] = ()) -> None:
        for line in list(self._lines):
            if not ports or line.client_port in ports:
                line.abort()

    def _limit(self, after_bytes: int) -> None:
        for line in self._lines:
            line.reply_bytes_left = after_bytes

    def _swallow(self, way: Way) -> None:
        for line in self._lines:
            line.swallowed.add(way)

    def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except BaseException as error:
            writer.transport.abort()
            if isinstance(error, OSError):
                return
            raise
        line = _Line(writer, server_writer)
        try:
            if self._listener is not None:
                await self._carry(line, reader, server_reader)
        finally:
            line.abort()
            self._lines.discard(line)

    async def _carry(self, line: "_Line", from_client: asyncio.StreamReader, from_server: asyncio.StreamReader) -> None:
        """Forward both directions until they have ended."""
        self.connections += 1
        self._lines.add(line)
        client, server = line.writers
        await asyncio.gather(
            self._pump(line, Way.TO_SERVER, from_client, server),
            self._pump(line, Way.TO_CLIENT, from_server, client),
            return_exceptions=True,
        )

    async def _pump(self, line: "_Line", way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction until either side ends; then the other direction ends too."""
        try:
            while data := await reader.read(CHUNK):
                await self._wait(way)
                if way in line.swallowed:
                    continue
                if way is Way.TO_CLIENT and line.reply_bytes_left is not None:
                    data = data[: line.reply_bytes_left]
                    line.reply_bytes_left -= len(data)
                writer.write(data)
                await writer.drain()
                if way is Way.TO_CLIENT and line.reply_bytes_left == 0:
                    return
        except OSError:
            return
        finally:
            # What was written goes out before the connection ends, as with a peer that dies after sending it.
            line.close()

    async def _wait(self, way: Way) -> None:
        least_s, most_s = self._delay_s
        if most_s:
            await asyncio.sleep(self._dice.uniform(least_s, most_s))
        await self._flows[way].wait()


class _Line:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.swallowed: set[Way] = set()
        self.reply_bytes_left: int | None = None
        self.client_port = int(client.get_extra_info("peername")[1])
        self.writers = (client, server)

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()

    def close(self) -> None:
        for writer in self.writers:
            writer.close()
