"""What stands on a Redis queue, read without the bridge's help."""

import base64
import bz2
import json
import zlib
from collections.abc import Callable
from typing import Any

COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "application/x-gzip": (zlib.compress, zlib.decompress),
    "application/x-bz2": (bz2.compress, bz2.decompress),
}
"""What kombu calls them → how to make and undo them."""


def body_of(item: bytes) -> bytes:
    """The body of a message, decompressed if its header says so."""
    message = json.loads(item)
    body = base64.b64decode(message["body"])
    compression = message["headers"].get("compression")
    return COMPRESSIONS[compression][1](body) if compression else body


def envelopes_of(item: bytes) -> list[dict[str, Any]]:
    """The envelopes in a message as a producer writes it."""
    args, _, _ = json.loads(body_of(item))
    return list(args[0])
