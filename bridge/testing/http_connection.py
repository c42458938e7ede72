"""``HttpConnection``: one connection of a stream to a gateway that runs somewhere, read by a thread of its own."""

import http.client
import socket
from contextlib import suppress
from http import HTTPStatus
from threading import Thread
from urllib.parse import urlencode

from bridge.testing.stream import WAIT_S, Stream

EVENTS_PATH = "/api/v1/events"
PART_BYTES = 65_536


class HttpConnection:
    """Satisfies ``Connection``.

    Args:
        host: of the gateway.
        port: of the gateway.
        stream: is fed.
        last_event_id: that the client had last; empty: none.
        query: of the address, besides what the stream asks for.
    """

    def __init__(self, host: str, port: int, stream: Stream, last_event_id: str, query: dict[str, str]) -> None:
        self._stream = stream
        self._http = http.client.HTTPConnection(host, port)
        self._address = f"{EVENTS_PATH}?{urlencode([*query.items(), *stream.asked.query])}"
        self._headers = dict(stream.asked.headers) | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        self._thread = Thread(target=self._read, name="bridge-testing-client", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up, and wait for the thread. Idempotent."""
        with suppress(OSError):
            if self._http.sock is not None:
                self._http.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT_S)
        self._http.close()

    def _read(self) -> None:
        try:
            self._http.request("GET", self._address, headers=self._headers)
            sock = self._http.sock
            response = self._http.getresponse()
            if response.status != HTTPStatus.OK:
                self._stream.note_refusal(response.status, response.read())
            self._http.sock = sock  # for ``close``: http.client forgets it where the answer ends with the connection
            while part := response.read1(PART_BYTES):
                self._stream.take(part)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._stream.note_trouble(error)
        finally:
            self._stream.note_end()
