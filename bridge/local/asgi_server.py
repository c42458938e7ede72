"""Running an ASGI app in this process with uvicorn: one way for the gateway and the operators' page."""

import os
import signal
import socket
from types import FrameType
from typing import Any

from bridge.model.errors import BridgeError, require_extra
from bridge.runtime.interruption import EXIT_INTERRUPTED

SHUTDOWN_TIMEOUT_S = 5
BACKLOG = 2048
"""Connections that wait in the kernel until they are accepted."""
ACCEPTED_AT_ONCE = 16
"""Connections accepted before those that are here get their turn, so that a flood waits in the kernel and not in our
memory."""


class CannotListenError(BridgeError):
    """The address cannot be listened on."""


def serve(
    app: Any, *, host: str, port: int, named: str = "BRIDGE_GATEWAY", extra: str = "gateway", forwarded: bool = True
) -> None:
    """Serve until SIGINT or SIGTERM, then end the open streams and return.

    Args:
        app: to serve.
        host: address to listen on.
        port: TCP port.
        named: with what the names of the settings for both begin.
        extra: that brings uvicorn.
        forwarded: whether to believe what a proxy says of its clients' addresses.

    Raises:
        CannotListenError: the port is in use or not ours to take; the message says which.
        MissingExtraError: uvicorn is not installed.
    """
    require_extra(extra, "Serving", "uvicorn")
    import uvicorn

    from bridge.gateway.protocol import BoundedProtocol

    class _Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """As uvicorn's, then with the kernel's queue at BACKLOG."""
            await super().startup(sockets)
            # asyncio has one number for the kernel's queue and for what it accepts at once.
            listener.listen(BACKLOG)

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        backlog=ACCEPTED_AT_ONCE,
        http=BoundedProtocol,
        ws="none",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        server_header=False,
        proxy_headers=forwarded,
    )
    with listen(host, port, named) as listener:
        server = _Server(config)

        def end(number: int, _frame: FrameType | None) -> None:
            """End before the start at once, later as uvicorn does."""
            interrupted = number == signal.SIGINT
            if not server.started:
                os._exit(EXIT_INTERRUPTED if interrupted else 0)
            # uvicorn raises the signal again when it is done; being asked to stop is no failure.
            if interrupted:
                raise KeyboardInterrupt

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        server.run(sockets=[listener])


def listen(host: str, port: int, named: str = "BRIDGE_GATEWAY") -> socket.socket:
    """A listening socket.

    Raises:
        CannotListenError: the address cannot be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, ValueError) as error:  # a NUL, or a label that no name may have
        raise CannotListenError(f"{host[:80]!r} ({named}_HOST or --host) is no address here: {error}.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListenError(_why(error, host, port, named)) from error
    return listener


def _why(error: OSError, host: str, port: int, named: str) -> str:
    if isinstance(error, PermissionError):
        return f"Port {port} may not be taken by this user; choose one above 1023 with {named}_PORT or --port."
    if "in use" in (error.strerror or ""):
        return f"Port {port} is in use. Stop what listens there, or choose another with {named}_PORT or --port."
    return f"{host}:{port} cannot be listened on: {error.strerror}."
