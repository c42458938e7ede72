"""Compression of message bodies, as Celery's header ``compression`` tells it; pure.

Events of one type are alike: a hundred of them take a tenth of the room on the queue, in a worker's hands and in Redis'
append-only file, and less of everybody's time than if they were written out.

Source: https://docs.celeryq.dev/en/stable/userguide/calling.html#compression
"""

import zlib

from bridge.errors import DecodeError

COMPRESSION_HEADER = "compression"
"""Header that names the compression; absent means none."""
ZLIB = "application/x-gzip"
"""kombu's name of it, whatever it says."""
COMPRESSED_FROM_BYTES = 8_192
"""A smaller body is sent as it is: beginning takes longer than writing it."""
DECOMPRESSED_MAX = 2**26
"""Bytes of a body at the most: as many as the settings allow a message. Unbounded, a few bytes may hold gigabytes."""

_ZLIB_NAMES = (ZLIB, "gzip", "zlib")
_LEVEL = 1
"""The fastest; slower ones make the likes of envelopes no smaller."""


def compressed(body: bytes) -> tuple[bytes, str]:
    """The body as it is sent, and the name of its compression; empty if it is small, or will not shrink."""
    if len(body) >= COMPRESSED_FROM_BYTES:
        shrunk = zlib.compress(body, _LEVEL)
        if len(shrunk) < len(body):
            return shrunk, ZLIB
    return body, ""


def is_ours(compression: object) -> bool:
    """Whether ``decompressed`` reads what has that name in its header; kombu knows others."""
    return compression in _ZLIB_NAMES


def decompressed(body: bytes, compression: object) -> bytes:
    """The body as it was before.

    Args:
        body: as it was sent.
        compression: the value of its header; whatever is false in Python means none.

    Raises:
        DecodeError: it is damaged or too large, or nobody here knows the compression.
    """
    if not compression:
        return body
    if not is_ours(compression):
        raise DecodeError(f"The body's compression is {compression!r}; the bridge reads {ZLIB} only.")
    reader = zlib.decompressobj()
    try:
        found = reader.decompress(body, DECOMPRESSED_MAX)
    except zlib.error as error:
        raise DecodeError(f"The body cannot be decompressed: {error}.") from error
    if not reader.eof:
        raise DecodeError(f"The body is cut off, or has more than {DECOMPRESSED_MAX} bytes when it is decompressed.")
    return found
