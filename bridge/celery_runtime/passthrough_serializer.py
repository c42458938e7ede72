"""The content type under which envelopes go from a worker's main process to its pool, registered with kombu."""

from typing import Any

from kombu.serialization import register

from bridge.messages.passthrough import PASSED_CONTENT_ENCODING, PASSED_CONTENT_TYPE, Envelopes

PASSED_SERIALIZER = "bridge-envelopes"
"""Celery's name of that content type."""


def _encode(body: Any) -> bytes:
    raise NotImplementedError("Envelopes are passed on within a worker only; no message is written in this way.")


def _decode(body: bytes) -> tuple[list[Envelopes], dict[str, Any], dict[str, Any]]:
    return [Envelopes(body)], {}, {}


register(
    PASSED_SERIALIZER, _encode, _decode, content_type=PASSED_CONTENT_TYPE, content_encoding=PASSED_CONTENT_ENCODING
)
