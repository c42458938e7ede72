"""How a worker's main process passes envelopes on to its pool: as the bytes that came, parsed where they are run.

Celery parses a body in the main process and again in the pool's. A body exactly as ``TaskMessage`` writes it
travels between the two under a content type of our own, which Celery's parser takes as it is.
"""

from typing import Any

import msgspec

from bridge.messages.task_message import BODY_HEAD, BODY_TAIL, CONTENT_ENCODING, CONTENT_TYPE
from bridge.model.bounds import LEVELS_READ_MAX, PARSER_ERRORS, VALUES_MAX, MessageBounds, levels_of, values_of

PASSED_CONTENT_TYPE = "application/x-bridge-envelopes"
"""Never on the wire."""
PASSED_CONTENT_ENCODING = "binary"

_raws = msgspec.json.Decoder(list[msgspec.Raw])


class Envelopes:
    """Envelopes as JSON with commas between them."""

    __slots__ = ("_json",)

    def __init__(self, json: bytes) -> None:
        self._json = json

    def __repr__(self) -> str:
        return f"<{len(self._json)} bytes of envelopes>"  # Celery may log arguments

    def __json__(self) -> str:
        """What ``celery inspect`` shows: kombu asks for this."""
        return repr(self)

    def split(self) -> list[msgspec.Raw]:
        """Each envelope's JSON."""
        return split(self._json)


def split(json: bytes, *, envelopes_max: int = MessageBounds.WIDEST.envelopes) -> list[msgspec.Raw]:
    """The values of JSON with commas between them.

    Raises:
        ValueError: it is not well-formed, or not in UTF-8, or beyond a bound.
        RecursionError: it has too many levels.
    """
    json.decode()
    if len(json) > VALUES_MAX and values_of(json) > VALUES_MAX:
        raise ValueError("It has too many values.")
    raws = _raws.decode(b"[%b]" % json)
    if len(raws) > envelopes_max:
        raise ValueError("It has too many envelopes.")
    # At half of the levels at which it gives up here, the parser will not give up in a process deep in other calls.
    if json.count(b"[") + json.count(b"{") > LEVELS_READ_MAX and any(map(_is_too_deep, _long(raws))):
        raise ValueError("It has too many levels.")
    return raws


def _long(raws: list[msgspec.Raw]) -> list[msgspec.Raw]:
    """Envelopes, if any has bytes enough for too many levels, which take two each; that is seldom so, and soon seen."""
    return raws if max([len(memoryview(raw)) for raw in raws]) > 2 * LEVELS_READ_MAX else []


def _is_too_deep(raw: msgspec.Raw) -> bool:
    return levels_of(bytes(raw), exact_above=LEVELS_READ_MAX) > LEVELS_READ_MAX


def envelopes_of(body: object, content_type: object, content_encoding: object) -> bytes | None:
    """What stands between the head and the tail of a body, if both are as ``TaskMessage`` writes them."""
    if content_type != CONTENT_TYPE or content_encoding != CONTENT_ENCODING:
        return None
    if not (isinstance(body, bytes) and body.startswith(BODY_HEAD) and body.endswith(BODY_TAIL)):
        return None
    return body[len(BODY_HEAD) : -len(BODY_TAIL)]


def pass_on(message: Any, *, envelopes_max: int = MessageBounds.WIDEST.envelopes) -> None:
    """Have a kombu message's envelopes parsed by the pool only, if its body is well-formed and as we write it."""
    json = envelopes_of(message.body, message.content_type, message.content_encoding)
    try:
        if not json or not split(json, envelopes_max=envelopes_max):
            return
    except PARSER_ERRORS:
        return  # Celery's parser will say what is wrong
    message.body, message.content_type, message.content_encoding = json, PASSED_CONTENT_TYPE, PASSED_CONTENT_ENCODING


def on_the_wire(message: Any) -> tuple[Any, Any, Any]:
    """Body, content type and content encoding as they came."""
    if message.content_type == PASSED_CONTENT_TYPE:
        return BODY_HEAD + message.body + BODY_TAIL, CONTENT_TYPE, CONTENT_ENCODING
    return message.body, message.content_type, message.content_encoding
