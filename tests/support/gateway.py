"""A real gateway process, tokens for it, and an EventSource that remembers what it got."""

import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import jwt
from httpx_sse import ServerSentEvent
from httpx_sse._decoders import SSEDecoder, SSELineDecoder

from bridge.local.redis_server import free_port
from tests.support.processes import ROOT, Process, clean_environment, start
from tests.support.waiting import PROCESS_TIMEOUT_S, WAIT_S, wait_until

SECRET = "a secret of at least thirty-two bytes"
EVENTS_PATH = "/api/v1/events"


UVICORN = (sys.executable, "-m", "uvicorn", "bridge.gateway:app", "--port", "{port}")
COMMAND = (sys.executable, "-m", "bridge.cli", "gateway", "--port", "{port}")
"""``sse-bridge gateway``."""


@contextmanager
def gateway_process(
    folder: Path,
    environment: Mapping[str, str],
    argv: Sequence[str] = UVICORN,
    *,
    port: int | None = None,
    cwd: Path = ROOT,
) -> Iterator[tuple[Process, str]]:
    """A gateway's process and its address; ended by SIGTERM at the end, unless it has."""
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / f"gateway-{port}.log"
    with log.open("wb") as output:
        words = [word.replace("{port}", str(port)) for word in argv]
        process = start(words, clean_environment({"BRIDGE_JWT_SECRET": SECRET, **environment}), output, cwd=cwd)
    try:
        wait_until(lambda: _is_ready(url) or process.poll() is not None, what="the gateway is ready")
        assert process.poll() is None, log.read_text()
        yield process, url
        process.terminate()
        process.wait(PROCESS_TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def running_gateway(folder: Path, environment: Mapping[str, str], *, cwd: Path = ROOT) -> Iterator[str]:
    """The address of ``uvicorn bridge.gateway:app``; stopped by SIGTERM at the end."""
    with gateway_process(folder, environment, cwd=cwd) as (_, url):
        yield url


def token_for(user_id: UUID | int | str) -> str:
    """A valid bearer token."""
    return jwt.encode({"sub": str(user_id), "exp": int(time.time()) + 86_400}, SECRET, algorithm="HS256")


class Listener:
    """One user's EventSource on a thread of its own: reads until closed, keeps every event.

    It shows a token of ours, unless it is given other ``headers``; ``query`` is what it asks for, as ``categories``.
    """

    def __init__(
        self,
        url: str,
        user_id: UUID | int | str,
        *,
        last_event_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        **query: str | list[str],
    ) -> None:
        self.events: list[ServerSentEvent] = []
        self._client = httpx.Client(timeout=httpx.Timeout(PROCESS_TIMEOUT_S))
        self._opened = threading.Event()
        self._failure: httpx.HTTPError | None = None
        shown = {"Authorization": f"Bearer {token_for(user_id)}"} if headers is None else headers
        self._headers = {"Accept": "text/event-stream", **shown}
        if last_event_id:
            self._headers["Last-Event-ID"] = last_event_id
        self._url = str(httpx.URL(url + EVENTS_PATH, params=query))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._opened.wait(WAIT_S), "the stream did not open"
        assert self._failure is None, f"the stream did not open: {self._failure!r}"

    def _read(self) -> None:
        try:
            with self._client.stream("GET", self._url, headers=self._headers) as response:
                self._response = response.raise_for_status()
                decoder, lines = SSEDecoder(), SSELineDecoder()
                for text in response.iter_text():
                    for line in lines.decode(text):
                        # The first line (the retry hint) tells that the subscription stands.
                        self._opened.set()
                        event = decoder.decode(line)
                        if event and event.data:
                            self.events.append(event)
        except httpx.HTTPError as error:
            if not self._opened.is_set():
                self._failure = error
                self._opened.set()

    def wait_for(self, number: int, *, timeout_s: float = 30.0) -> list[ServerSentEvent]:
        """Until at least ``number`` events arrived; all that did."""
        try:
            wait_until(lambda: len(self.events) >= number, timeout_s=timeout_s)
        except AssertionError:
            raise AssertionError(f"{len(self.events)} of {number} events arrived") from None
        return list(self.events)

    @property
    def is_open(self) -> bool:
        """Whether the server has not ended it."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Hang up, as a browser does."""
        # Ends the read on the other thread at once; closing the client there would wait for it.
        self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        self._client.close()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url + "/health/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
