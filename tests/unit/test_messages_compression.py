"""Compression of bodies: what shrinks comes back the same, and what only says that it is compressed does no harm."""

import os
import zlib

import pytest

from bridge.messages import TaskMessage
from bridge.messages.queue_item import read_item
from bridge.messages.task_message import COMPRESSED_FROM_BYTES, DECOMPRESSED_MAX, ZLIB, compressed, decompressed
from bridge.model.errors import DecodeError
from bridge.redis_adapter.task_queue import queue_item

ENVELOPE = b'{"specversion":"1.0","type":"FileImportProgressed","data":{"file_name":"may.csv"}}'


def test_envelopes_shrink_to_a_tenth_and_come_back_the_same() -> None:
    body = b",".join([ENVELOPE] * 500)
    shrunk, compression = compressed(body)
    assert len(shrunk) < len(body) / 10
    assert compression == ZLIB
    assert decompressed(shrunk, compression) == body


@pytest.mark.parametrize("body", [b"", b" " * (COMPRESSED_FROM_BYTES - 1), os.urandom(COMPRESSED_FROM_BYTES)])
def test_what_is_small_or_will_not_shrink_is_sent_as_it_is(body: bytes) -> None:
    assert compressed(body) == (body, "")
    assert decompressed(body, "") == body


def test_a_body_may_have_as_many_bytes_as_a_message_and_no_more() -> None:
    assert len(decompressed(zlib.compress(bytes(DECOMPRESSED_MAX)), ZLIB)) == DECOMPRESSED_MAX
    with pytest.raises(DecodeError, match=str(DECOMPRESSED_MAX)):
        decompressed(zlib.compress(bytes(DECOMPRESSED_MAX + 1)), ZLIB)


@pytest.mark.parametrize(
    ("body", "compression"),
    [(b"", ZLIB), (b"junk", ZLIB), (zlib.compress(b"whole")[:-1], ZLIB), (b"x", "x-unheard"), (b"x", [ZLIB])],
)
def test_what_cannot_be_decompressed_says_why(body: bytes, compression: object) -> None:
    with pytest.raises(DecodeError, match=r"\.$"):
        decompressed(body, compression)


def test_an_item_is_read_as_it_was_written_and_no_longer_says_that_it_was_compressed() -> None:
    message = TaskMessage(task="bridge.Moody", queue="bridge.moods", envelopes=[ENVELOPE] * 500)
    raw = queue_item(message, announced=False)
    assert b'"compression":"application/x-gzip"' in raw
    payload = read_item(raw, tag="t", queue="bridge.moods", deliveries=0)
    assert payload["body"] == message.body()
    assert payload["raw"] == raw
    assert "compression" not in payload["headers"]
