"""What is held for one client is bounded in bytes as well: the rest is in the history, or the client is cut."""

import asyncio
import dataclasses

from bridge.gateway.connection import Ending
from bridge.gateway.replay_reader import ReplayPage
from bridge.gateway.request import EncodedEvent
from bridge.model.bounds import QUEUE_BYTES_MAX
from bridge.model.position import Position
from tests.support.line import SETTINGS, Line, running


def large(position: str, size: int = QUEUE_BYTES_MAX // 3) -> EncodedEvent:
    return EncodedEvent(Position(position), ["import"], f"id: {position}\ndata: {'x' * size}\n\n".encode())


async def offered(line: Line, events: list[EncodedEvent]) -> None:
    """Offer what the client does not take."""
    await line.until(lambda: b"live" in line.sent)
    line.open.clear()
    for event in events:
        line.session.offer(event)
        await asyncio.sleep(0)
        assert line.session._queue_bytes <= QUEUE_BYTES_MAX


async def test_a_live_queue_full_of_bytes_is_let_go_and_read_from_the_history() -> None:
    line = Line(settings=dataclasses.replace(SETTINGS, gateway_queue_max=100))
    line.link()
    async with running(line):
        events = [large(f"{20 + n}-0") for n in range(9)]
        await offered(line, events)
        # The first was on its way.
        rest = ReplayPage(events=tuple(events[1:]), horizon=Position("28-0"), complete=True, last=True, read_at_ms=1)
        line.replay_reader.pages = [rest]
        line.open.set()
        await line.until(lambda: len(line.ids) == 9)
        assert line.ids == [str(event.position) for event in events]


async def test_what_was_let_go_counts_as_held_so_a_client_that_takes_nothing_is_cut() -> None:
    line = Line(settings=dataclasses.replace(SETTINGS, gateway_queue_max=20))
    line.link()
    async with running(line) as task:
        await offered(line, [large(f"{20 + n}-0") for n in range(30)])
        assert await asyncio.wait_for(asyncio.shield(task), 2) is Ending.TOO_SLOW


async def test_without_a_history_a_queue_full_of_bytes_ends_the_stream() -> None:
    line = Line(settings=dataclasses.replace(SETTINGS, gateway_queue_max=100, stream_ttl_s=0))
    line.link()
    async with running(line) as task:
        await offered(line, [large(f"{20 + n}-0") for n in range(9)])
        assert await asyncio.wait_for(asyncio.shield(task), 2) is Ending.TOO_SLOW


async def test_an_event_larger_than_the_queue_passes_through_it() -> None:
    line = Line()
    line.link()
    async with running(line):
        await line.until(lambda: b"live" in line.sent)
        line.session.offer(large("20-0", 2 * QUEUE_BYTES_MAX))
        await line.until(lambda: line.ids == ["20-0"])
