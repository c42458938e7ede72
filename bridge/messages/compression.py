"""Compression of message bodies, as Celery's header ``compression`` tells it; pure.

Events of one type are alike: a hundred of them take a tenth of the room on the queue, in a worker and in Redis'
append-only file, and less time everywhere than if they were written out.

Source: https://docs.celeryq.dev/en/stable/userguide/calling.html#compression
"""

import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from bridge.model.bounds import DECOMPRESSED_MAX, LZMA_MEMORY_MAX, ZSTD_WINDOW_LOG_MAX
from bridge.model.errors import DecodeError

COMPRESSION_HEADER = "compression"
"""Header that names the compression; absent means none."""
ZLIB = "application/x-gzip"
"""kombu's name of it, whatever it says."""
COMPRESSED_FROM_BYTES = 8_192
"""A smaller body is sent as it is: beginning takes longer than writing it."""

_LEVEL = 1
"""The fastest; slower ones make the likes of envelopes no smaller."""


class _Reader(Protocol):
    """Python's decompressors of one stream, of whatever kind."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def compressed(body: bytes) -> tuple[bytes, str]:
    """The body as it is sent, and the name of its compression; empty if it is small, or will not shrink."""
    if len(body) >= COMPRESSED_FROM_BYTES:
        shrunk = zlib.compress(body, _LEVEL)
        if len(shrunk) < len(body):
            return shrunk, ZLIB
    return body, ""


def decompressed(body: bytes, compression: object, *, max_bytes: int = DECOMPRESSED_MAX) -> bytes:
    """The body as it was before; never more than ``max_bytes`` of it are made.

    Args:
        body: as it was sent.
        compression: the value of its header, in any of kombu's words; whatever is false in Python means none.
        max_bytes: bytes that it may have.

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
        found = reader.decompress(body, max_bytes + 1)
    except Exception as error:  # each kind has errors of its own
        raise DecodeError(f"The body cannot be decompressed: {error}.") from error
    if len(found) > max_bytes:
        raise DecodeError(f"The body has more than {max_bytes} bytes when it is decompressed.")
    if not reader.eof:
        raise DecodeError("The compressed body is cut off.")
    return found


# Named by what is imported only when a message of such a kind comes: producers need none of it.


def _bzip2() -> _Reader:
    reader: _Reader = import_module("bz2").BZ2Decompressor()
    return reader


def _xz() -> _Reader:
    reader: _Reader = import_module("lzma").LZMADecompressor(memlimit=LZMA_MEMORY_MAX)
    return reader


def _zstd() -> _Reader:
    for name in ("compression.zstd", "backports.zstd"):  # as kombu looks for it
        try:
            zstd = import_module(name)
        except ImportError:
            continue
        options = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX}
        reader: _Reader = zstd.ZstdDecompressor(options=options)
        return reader
    raise DecodeError("The body's compression is zstd, which this Python has not: install backports.zstd.")


_READERS: dict[str, Callable[[], _Reader]] = {
    **dict.fromkeys((ZLIB, "gzip", "zlib"), zlib.decompressobj),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), _bzip2),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), _xz),
    **dict.fromkeys(("application/zstd", "zstd", "zstandard"), _zstd),
}
