"""A Celery message, written by hand: protocol 2 around envelopes that are JSON already, compressed if large; pure.

Events of one type are alike: compressed, a hundred of them take a tenth of the room on the queue, in a worker and in
Redis' append-only file, and less time everywhere than if they were written out.

Sources: https://docs.celeryq.dev/en/stable/internals/protocol.html
https://docs.celeryq.dev/en/stable/userguide/calling.html#compression
"""

import os
import socket
import zlib
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any
from uuid import UUID, uuid4

import msgspec

from bridge.model.bounds import DECOMPRESSED_MAX, LZMA_MEMORY_MAX, ZSTD_WINDOW_LOG_MAX
from bridge.model.errors import DecodeError

ATTEMPT_HEADER = "bridge_attempt"
"""Header that tells the worker which attempt a message is; absent means the first."""

BOOKED_HEADER = "bridge_booked"
"""Header with the id under which the message's events are in the accounting; absent if no producer announced them."""
REDRIVE_HEADER = "bridge_replay"
"""Header with the redrive that sent a message; its events are dead letters, and have one attempt."""
BUNDLE_HEADER = "bridge_bundle"
"""Header of messages that the transport has put together, never on the wire: task, id, booked_as and events of each."""

CLAIMED_ON_HEADER = "bridge_claimed_on"
"""Header with the server on which the transport claimed a message, never on the wire; see ``ports.MasterWatch``."""

CONTENT_TYPE = "application/json"
CONTENT_ENCODING = "utf-8"

BODY_HEAD = b"[[["
BODY_TAIL = b']],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
_HOST = socket.gethostname()
OVERHEAD_BYTES = len(BODY_HEAD) + len(BODY_TAIL)
"""What a body has besides its envelopes and the commas between them."""


def new_message_id() -> str:
    """A new Celery task id."""
    return str(uuid4())


class TaskMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One Celery message: 1..N envelopes of one type."""

    task: str  # ``bridge.<DomainEventClass>``
    queue: str  # ``bridge.<category>``
    envelopes: Sequence[bytes]  # each a JSON object
    attempt: int = 1  # 1 for the first
    # The Celery task id; stays when the message is sent again after trouble
    message_id: str = msgspec.field(default_factory=new_message_id)
    # 16 bytes an event, to be entered into the accounting with the message; empty if they are in the accounting
    # already, or not to be
    event_ids: bytes = b""
    booked_as: str = ""  # the message under which the events are in the accounting already
    redrive: str = ""  # the redrive that sends it; empty if none

    def body(self) -> bytes:
        """``[args, kwargs, embed]`` with ``args = [[envelope, ...]]``, as JSON."""
        return BODY_HEAD + b",".join(self.envelopes) + BODY_TAIL

    def headers(self, *, announced: bool, compression: str = "") -> dict[str, Any]:
        """Protocol 2 headers. Of the envelopes only an id is in them, as tools log and show them.

        ``announced``: ``event_ids`` are in the accounting; ``compression``: of the body as it is sent, empty if it has
        none.
        """
        headers: dict[str, Any] = {
            "lang": "py",
            "task": self.task,
            "id": self.message_id,
            "root_id": self.message_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "eta": None,
            "expires": None,
            "timelimit": [None, None],
            "argsrepr": shown_arguments(len(self.envelopes), self.event_ids),
            "kwargsrepr": "{}",
            "origin": f"{os.getpid()}@{_HOST}",
            "ignore_result": True,
        }
        if compression:
            headers[COMPRESSION_HEADER] = compression
        if self.attempt > 1:
            headers[ATTEMPT_HEADER] = self.attempt
        if self.redrive:
            headers[REDRIVE_HEADER] = self.redrive
        booked_as = self.booked_as or (self.message_id if announced and self.event_ids else "")
        if booked_as:
            headers[BOOKED_HEADER] = booked_as
        return headers


def shown_arguments(events: int, event_ids: bytes = b"") -> str:
    """What Flower and Celery log or show: how many events, and the id of the first, for ``sse-bridge trace``."""
    words = "1 event" if events == 1 else f"{events} events"
    first = f" from {UUID(bytes=event_ids[:16])}" if event_ids else ""
    return f"({words}{first})"


# Compression

COMPRESSION_HEADER = "compression"
"""Header that names the compression; absent means none."""
ZLIB = "application/x-gzip"
"""kombu's name of it, whatever it says."""
COMPRESSED_FROM_BYTES = 8_192
"""A smaller body is sent as it is: beginning takes longer than writing it."""

_LEVEL = 1
"""The fastest; slower ones make the likes of envelopes no smaller."""


def compressed(body: bytes) -> tuple[bytes, str]:
    """The body as it is sent, and the name of its compression; empty if it is small, or will not shrink."""
    if len(body) >= COMPRESSED_FROM_BYTES:
        shrunk = zlib.compress(body, _LEVEL)
        if len(shrunk) < len(body):
            return shrunk, ZLIB
    return body, ""


def decompressed(body: bytes, compression: object, *, max_bytes: int = DECOMPRESSED_MAX) -> bytes:
    """The body as it was before; never more than ``max_bytes`` of it are made.

    ``compression`` is the value of its header, in any of kombu's words; whatever is false in Python means none.

    Raises:
        DecodeError: it is damaged or too large, or its compression is not known here.
    """
    if not compression:
        return body
    open_reader = _READERS.get(compression) if isinstance(compression, str) else None
    if open_reader is None:
        raise DecodeError(f"The body's compression is {compression!r}; the bridge reads zlib, bzip2, xz and zstd.")
    reader = open_reader()
    try:
        # One byte more: the end is sometimes seen only behind the last one.
        found: bytes = reader.decompress(body, max_bytes + 1)
    except Exception as error:  # each kind has errors of its own
        raise DecodeError(f"The body cannot be decompressed: {error}.") from error
    if len(found) > max_bytes:
        raise DecodeError(f"The body has more than {max_bytes} bytes when it is decompressed.")
    if not reader.eof:
        raise DecodeError("The compressed body is cut off.")
    return found


def _zstd() -> Any:
    for name in ("compression.zstd", "backports.zstd"):  # as kombu looks for it
        try:
            zstd = import_module(name)
        except ImportError:
            continue
        options = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX}
        return zstd.ZstdDecompressor(options=options)
    raise DecodeError("The body's compression is zstd, which this Python has not: install backports.zstd.")


_READERS: dict[str, Callable[[], Any]] = {
    **dict.fromkeys((ZLIB, "gzip", "zlib"), zlib.decompressobj),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), lambda: import_module("bz2").BZ2Decompressor()),
    **dict.fromkeys(
        ("application/x-lzma", "lzma", "xz"), lambda: import_module("lzma").LZMADecompressor(memlimit=LZMA_MEMORY_MAX)
    ),
    **dict.fromkeys(("application/zstd", "zstd", "zstandard"), _zstd),
}
"""By kombu's names. Imported only when a message of such a kind comes: producers need none of it."""
