"""Judges whether Celery can run a message without dying over it; pure.

Stock Celery 5.7 deletes some of these messages, dies over others, and reconnects forever over one more.
So each header that Celery reads is checked before Celery sees it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bridge.messages.task_message import CONTENT_TYPE
from bridge.model.bounds import (
    ID_CHARS_MAX,
    LEVELS_BODY_MAX,
    LEVELS_HEADERS_MAX,
    LEVELS_READ_MAX,
    NUMBER_MAX,
    quick_check,
    too_deep,
)
from bridge.model.errors import DecodeError

UTF8_NAMES = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "binary"})
ENCODINGS = frozenset({"utf-16", "utf-32", "latin-1", "latin1", "iso-8859-1", "windows-1252", "cp1252"})
"""Content encodings that are read besides UTF-8. Python's codecs hold others that take quadratic time."""
RETURNS_HEADER = "x-delivery-count"
"""Where RabbitMQ's quorum queues say how often a message came back, also when a worker gave it back on purpose."""
COUNTED_BY_BROKER = (RETURNS_HEADER, "x-acquired-count")
"""Headers in which these queues count deliveries; without them a message that comes back makes the same letter."""
DELIVERIES_HEADERS = ("bridge_deliveries", RETURNS_HEADER)
"""Where a message says how often its worker died over it, at most: on Redis, and on RabbitMQ's quorum queues."""


def check_message(headers: object, decode: Callable[[], Any], tasks: Collection[str]) -> None:
    """Refuse what Celery cannot run; ``decode`` gives the decoded body, and may raise anything.

    Raises:
        DecodeError: the message cannot be run; says what is wrong with it.
    """
    if not isinstance(headers, Mapping):
        raise DecodeError("The message has no headers; Celery's protocol 2 keeps the task's name there.")
    _check_names(headers, tasks)
    for name, fits in _OPTIONAL.items():
        value = headers.get(name)
        if value is not None and not fits(value):
            raise DecodeError(f"The header {name!r} has a value that Celery cannot use.")
    try:
        body = decode()
    except Exception as error:  # every serializer raises its own
        raise DecodeError(f"The body cannot be decoded: {type(error).__name__}: {error}") from error
    _check_body(body)
    _check_levels(body, "body", LEVELS_BODY_MAX)


def check_header_levels(headers: object) -> None:
    """Refuse headers that Celery cannot pickle.

    Raises:
        DecodeError: they are too deep.
    """
    _check_levels(headers, "header", LEVELS_HEADERS_MAX)


def check_size(body: object, *, body_bytes_max: int) -> None:
    """Refuse a body that is too large for anything to look at.

    Raises:
        DecodeError: it is.
    """
    if isinstance(body, bytes | str) and len(body) > body_bytes_max:
        raise DecodeError(
            f"The body has {len(body)} bytes; at most {body_bytes_max} are read (see BRIDGE_MESSAGE_MAX_BYTES)."
        )


def in_utf8(body: bytes, encoding: object) -> bytes:
    """A body of the content encoding that its message names, in UTF-8.

    Raises:
        DecodeError: the bridge does not read that encoding, or the body is not in it.
    """
    name = str(encoding or "utf-8").lower()
    if name in UTF8_NAMES:
        return body
    if name not in ENCODINGS:
        raise DecodeError(f"The content encoding is {encoding!r}; send JSON in UTF-8.")
    try:
        return body.decode(name).encode()
    except UnicodeError as error:
        raise DecodeError(f"The body is not in {name}: {error}.") from error


def check_bytes(body: object, content_type: object) -> None:
    """Refuse, in linear time and before any parser sees it, a body that Celery's parser should not be given.

    Raises:
        DecodeError: it is too deep, or no JSON is promised: Python's codecs, which kombu asks otherwise, can expand
            what they read, and take quadratic time over it.
    """
    if content_type != CONTENT_TYPE:
        raise DecodeError(f"The content type is {content_type!r}; the bridge reads {CONTENT_TYPE} only.")
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, bytes):
        raise DecodeError(f"The body is of type {type(body).__name__}, which is no text.")
    quick_check(body, levels_max=LEVELS_READ_MAX, refuse=DecodeError)


def deliveries_of(headers: Mapping[str, Any]) -> int:
    """How often a worker died over this message."""
    counts = (headers.get(name) for name in DELIVERIES_HEADERS)
    return max((count for count in counts if isinstance(count, int)), default=0)


def _check_names(headers: Mapping[str, Any], tasks: Collection[str]) -> None:
    for name in ("id", "task"):
        if not isinstance(headers.get(name), str) or not headers[name]:
            raise DecodeError(f"The message has no header {name!r}.")
        if not is_id(headers[name]):
            raise DecodeError(
                f"The header {name!r} has more than {ID_CHARS_MAX} characters, or some that do not print."
            )
    if headers["task"] not in tasks:
        raise DecodeError(
            f"No task is called {headers['task']!r}. Is the registry of this worker (BRIDGE_REGISTRY) the producer's?"
        )


def _check_body(body: object) -> None:
    if not isinstance(body, list | tuple) or len(body) != 3:
        raise DecodeError("The body is not [args, kwargs, embed].")
    args, kwargs, embed = body
    if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
        raise DecodeError("The body's args are no list, or its kwargs are no object.")
    if embed is not None and not isinstance(embed, Mapping):
        raise DecodeError("The body's embed is no object.")
    if embed and any(embed.get(name) for name in ("callbacks", "errbacks", "chain", "chord")):
        raise DecodeError("The body asks for callbacks, a chain or a chord; the bridge's tasks give no results.")


def check_number(args: Sequence[object], envelopes_max: int) -> None:
    """Refuse a message of more envelopes than one may have.

    Raises:
        DecodeError: it is.
    """
    found = len(args[0]) if len(args) == 1 and isinstance(args[0], list | tuple) else 1
    if found > envelopes_max:
        raise DecodeError(
            f"The message has {found} envelopes; at most {envelopes_max} are handled (see BRIDGE_EMIT_BATCH_MAX)."
        )


def _check_levels(value: object, name: str, levels_max: int) -> None:
    """Celery pickles what it has parsed, and dies over about 500 levels with a place of its pool taken."""
    level = [value]
    for _ in range(levels_max):
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise DecodeError(too_deep(f"The {name}", levels_max))


def _inside(item: object) -> Iterable[object]:
    """Objects and arrays right within one."""
    values = item.values() if isinstance(item, Mapping) else item if isinstance(item, list | tuple) else ()
    return (value for value in values if isinstance(value, Mapping | list | tuple))


def is_id(value: object) -> bool:
    """Whether a value may name a message or a task: a short printable text, so that it cannot steer a log."""
    return isinstance(value, str) and len(value) <= ID_CHARS_MAX and value.isprintable()


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX


def _is_time(value: object) -> bool:
    try:
        datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _is_timelimit(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(limit is None or (isinstance(limit, int | float) and limit > 0) for limit in value)
    )


_OPTIONAL: dict[str, Callable[[object], bool]] = {
    "eta": _is_time,
    "expires": _is_time,
    "timelimit": _is_timelimit,
    "retries": _is_whole,
    "shadow": _is_text,
    "root_id": _is_text,
    "parent_id": _is_text,
    "group": _is_text,
    "group_index": _is_whole,
    "argsrepr": _is_text,
    "kwargsrepr": _is_text,
    "origin": _is_text,
    "lang": _is_text,
    "bridge_attempt": _is_whole,
    "bridge_deliveries": _is_whole,
    "bridge_booked": is_id,
    "bridge_replay": is_id,
}

DROPPED_HEADERS = (
    *("expires", "eta", "timelimit", "stamped_headers", "stamps", "shadow", "group", "group_index"),
    *("callbacks", "errbacks", "chain", "chord"),
)
"""Headers that are fit, but would make Celery drop a message silently, hold it in memory, or send what was not checked:
taken out."""
