"""Clients that ask for a stream and do not read it, on bare sockets."""

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

from tests.support.streams import EVENTS_PATH, token
from tests.support.waiting import PROCESS_TIMEOUT_S

RECEIVE_BYTES = 4096
"""What the kernel holds for a client that does not read, at the least that it allows."""


def request(user: UUID, *, path: str = EVENTS_PATH, method: str = "GET", version: str = "1.1", **headers: str) -> bytes:
    """A request for a stream."""
    named = {"Host": "127.0.0.1", "Authorization": f"Bearer {token(user)}", **headers}
    lines = [f"{method} {path} HTTP/{version}", *(f"{name.replace('_', '-')}: {text}" for name, text in named.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def ask(port: int, sent: bytes, *, receive_bytes: int = RECEIVE_BYTES) -> socket.socket:
    """A connection on which something was sent."""
    asking = socket.socket()
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    asking.settimeout(20)
    asking.connect(("127.0.0.1", port))
    asking.sendall(sent)
    return asking


def read_until(asking: socket.socket, word: bytes) -> bytes:
    """What comes until a word has; AssertionError when the connection ends before it, or only heartbeats come."""
    got, until = b"", time.monotonic() + PROCESS_TIMEOUT_S
    while word not in got:
        assert time.monotonic() < until, f"{word!r} does not come: {got[-500:]!r}"
        part = asking.recv(4096)
        assert part, f"ended without {word!r}: {got[-500:]!r}"
        got += part
    return got


def read_all(asking: socket.socket) -> bytes:
    """What comes until the other side closes or resets."""
    got = b""
    try:
        while part := asking.recv(65_536):
            got += part
    except ConnectionResetError:
        pass
    return got


@contextmanager
def many(port: int, requests: Iterable[bytes]) -> Iterator[list[socket.socket]]:
    """A connection for each, of which none is read."""
    with ExitStack() as stack:
        yield [stack.enter_context(ask(port, sent)) for sent in requests]
