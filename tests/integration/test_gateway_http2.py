"""uvicorn's own HTTP/2: a client that never opens its window is ended, and that stream alone."""

import asyncio
import dataclasses
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from bridge.settings import Settings
from tests.support.needs import needs_package
from tests.support.streams import EVENTS_PATH, SECRET, Served, Source, token, until

EVENTS, EVENT_BYTES = 50, 60_000
WINDOW_UPDATE = 8


@pytest.fixture
def served(redis_url: str) -> Iterator[Served]:
    needs_package("zttp")
    settings = Settings(broker_url=redis_url, jwt_secret=SECRET)
    patience = dataclasses.replace(settings, gateway_send_timeout_s=0.5, gateway_heartbeat_s=0.2)
    with Served(patience, http="zttp", http2=True) as served:
        yield served


class Browser:
    """One connection with several streams; opens the window of the connection, and of no stream."""

    def __init__(self, port: int) -> None:
        import zttp

        self._zttp = zttp
        self._conn: Any = zttp.Connection(zttp.CLIENT, protocol=zttp.HTTP2)
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.settimeout(0.05)
        self._conn.initiate_connection()
        self._sock.sendall(self._conn.data_to_send())
        self._sock.sendall(struct.pack(">I", 4)[1:] + bytes((WINDOW_UPDATE, 0)) + struct.pack(">II", 0, 2**30))
        self.got: dict[int, bytes] = {}
        self.reset: set[int] = set()

    def ask(self, user: UUID, **headers: str) -> int:
        """Open a stream; its id."""
        said = {":authority": "127.0.0.1", "authorization": f"Bearer {token(user)}", **headers}
        fields = [(name.replace("_", "-").encode(), text.encode()) for name, text in said.items()]
        stream = self._conn.send_request(b"GET", EVENTS_PATH.encode(), b"", fields)
        stream.end_message()
        self._sock.sendall(self._conn.data_to_send())
        self.got[stream.stream_id] = b""
        return int(stream.stream_id)

    def read(self, for_s: float) -> None:
        """Read what comes, and answer nothing."""
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline:
            try:
                self._conn.receive_data(self._sock.recv(65_536))
            except TimeoutError:
                continue
            while (event := self._conn.next_event()) is not self._zttp.NEED_DATA:
                if isinstance(event, self._zttp.Data):
                    self.got[event.stream_id] += bytes(event.data)
                elif isinstance(event, self._zttp.RstStream):
                    self.reset.add(event.stream_id)

    def close(self) -> None:
        self._sock.close()


async def test_a_stream_whose_window_stays_shut_is_ended_and_its_neighbour_flows(
    served: Served, redis_url: str
) -> None:
    source = Source(Settings(broker_url=redis_url))
    slow, quick = uuid4(), uuid4()
    source.publish(slow, EVENTS, pad="x" * EVENT_BYTES)
    browser = Browser(served.port)
    neighbour = browser.ask(quick)
    stalled = browser.ask(slow, last_event_id="0-1")
    await asyncio.to_thread(browser.read, 0.5)
    await until(lambda: served.state.counters.cut_stalled == 1)
    await until(lambda: len(served.state.sessions) == 1)
    ids = source.publish(quick, 3)
    await asyncio.to_thread(browser.read, 1.0)
    assert stalled in browser.reset and neighbour not in browser.reset
    assert all(one.encode() in browser.got[neighbour] for one in ids)
    assert len(browser.got[stalled]) <= 65_535
    browser.close()
    await until(lambda: not served.state.sessions)
    source.close()
