"""A process that notes when numbered events arrive: on Redis channels, or as SSE clients of a gateway.

``python -m benchmarks.harness.listening channel|sse PORT USERS EVENTS TIMEOUT``; says ``ready`` as JSON when all are
subscribed, and at the end when each event arrived (CLOCK_MONOTONIC in ns, 0 for never). Both kinds are read alike, from
bare sockets: what is measured is the way to here, not a client library.
"""

import json
import re
import selectors
import socket
import sys
import time

from benchmarks.harness.workload import user
from bridge import User
from bridge.redis_adapter.keyspace import Keyspace

KEYS = Keyspace()
_NUMBER = re.compile(rb'"records_processed": ?(\d+)[,}]')
_READY = {"channel": b"subscribe", "sse": b": live"}
TAIL = 1_000
"""Bytes kept from one read to the next: an event may be cut anywhere."""


def main() -> None:
    """Listen as the arguments say."""
    kind, port, users, events, timeout_s = sys.argv[1], *map(int, sys.argv[2:])
    open_ = _subscribe if kind == "channel" else _request
    selector = selectors.DefaultSelector()
    for sock in open_(port, users):
        selector.register(sock, selectors.EVENT_READ, b"")
    print(json.dumps({"ready": True}), flush=True)
    print(json.dumps({"arrived_ns": _listen(selector, events, timeout_s)}), flush=True)


def _listen(selector: selectors.BaseSelector, events: int, timeout_s: float) -> list[int]:
    arrived_ns = [0] * events
    missing = events
    deadline = time.monotonic() + timeout_s
    while missing and time.monotonic() < deadline:
        for key, _ in selector.select(0.5):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            received = key.data + sock.recv(262_144)
            now, end = time.monotonic_ns(), 0
            for match in _NUMBER.finditer(received):
                number, end = int(match[1]), match.end()
                if not arrived_ns[number]:
                    arrived_ns[number] = now
                    missing -= 1
            selector.modify(sock, selectors.EVENT_READ, received[end:][-TAIL:])
    return arrived_ns


def _subscribe(port: int, users: int) -> list[socket.socket]:
    """One connection for all channels, as a gateway has."""
    sock = socket.create_connection(("127.0.0.1", port))
    channels = [KEYS.channel(User(user(number))).encode() for number in range(users)]
    words = [b"SUBSCRIBE", *channels]
    sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    _read_until(sock, _READY["channel"], users)
    return [sock]


def _request(port: int, users: int) -> list[socket.socket]:
    """One stream a user, as browsers have."""
    found = []
    for number in range(users):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(
            f"GET /api/v1/events?user_id={user(number)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        _read_until(sock, _READY["sse"], 1)
        found.append(sock)
    return found


def _read_until(sock: socket.socket, word: bytes, times: int) -> None:
    received = b""
    sock.settimeout(20)
    while received.count(word) < times:
        part = sock.recv(65_536)
        if not part:
            raise SystemExit(f"closed: {received.decode(errors='replace')}")
        received += part
    sock.settimeout(None)


if __name__ == "__main__":
    main()
