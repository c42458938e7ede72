"""Whether Celery can run a message without dying over it; pure.

Stock Celery 5.7 deletes some of these messages, dies over others, and reconnects for ever over one more.
So each header that Celery reads is checked before Celery sees it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from bridge.bounds import LEVELS_BODY_MAX
from bridge.errors import DecodeError

DELIVERIES_HEADERS = ("bridge_deliveries", "x-delivery-count")
"""Where a message says how often its worker died over it: on Redis, and on RabbitMQ's quorum queues."""


def check_message(headers: object, decode: Callable[[], Any], tasks: Collection[str]) -> None:
    """Refuse what Celery cannot run.

    Args:
        headers: of the message.
        decode: gives the decoded body; may raise anything.
        tasks: names of the tasks that this worker has.

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
    _check_levels(body)


def deliveries_of(headers: Mapping[str, Any]) -> int:
    """How often a worker died over this message."""
    counts = (headers.get(name) for name in DELIVERIES_HEADERS)
    return max((count for count in counts if isinstance(count, int)), default=0)


def _check_names(headers: Mapping[str, Any], tasks: Collection[str]) -> None:
    for name in ("id", "task"):
        if not isinstance(headers.get(name), str) or not headers[name]:
            raise DecodeError(f"The message has no header {name!r}.")
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


def _check_levels(body: object) -> None:
    """Celery pickles what it has parsed, and dies over about 500 levels with a place of its pool taken."""
    level = [body]
    for _ in range(LEVELS_BODY_MAX):
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return
    raise DecodeError(f"The body has more than {LEVELS_BODY_MAX} objects and arrays within each other.")


def _inside(item: object) -> Iterable[object]:
    """Objects and arrays right within one."""
    values = item.values() if isinstance(item, Mapping) else item if isinstance(item, list | tuple) else ()
    return (value for value in values if isinstance(value, Mapping | list | tuple))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


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
    "bridge_booked": _is_text,
    "bridge_replay": _is_text,
}

DROPPED_HEADERS = ("expires", "eta", "timelimit", "stamped_headers", "stamps", "shadow", "group", "group_index")
"""Headers that are fit, but would make Celery drop a message silently or hold it in memory: taken out."""
