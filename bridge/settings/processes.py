"""Which process reads which setting; each is judged by those alone that use it."""

from collections.abc import Iterable
from typing import Literal, TypeAlias, get_args

Process: TypeAlias = Literal["producer", "worker", "gateway", "ops", "cli"]
"""``cli`` is whoever calls an operators' command."""
PROCESSES: tuple[Process, ...] = get_args(Process)
EVERYBODY: frozenset[Process] = frozenset(PROCESSES)


def _set(*processes: Process) -> frozenset[Process]:
    return frozenset(processes)


_READERS: dict[str, frozenset[Process]] = {
    "source": _set("producer"),
    "emit_": _set("producer"),
    "spool_": _set("producer"),
    "emit_batch_max": _set("producer", "worker", "ops", "cli"),
    "message_max_bytes": _set("producer", "worker", "ops", "cli"),
    "event_max_bytes": _set("producer", "worker", "ops", "cli"),
    "broker_keyprefix": _set("producer", "worker", "ops", "cli"),
    "broker_sentinel_master": EVERYBODY,
    "worker_": _set("worker"),
    "delivery_max": _set("worker"),
    "stream_maxlen": _set("worker"),
    "stream_ttl_s": _set("worker", "gateway", "ops", "cli"),
    "seen_ttl_s": _set("worker", "ops", "cli"),
    "visibility_timeout_s": _set("producer", "worker", "ops", "cli"),
    "task_time_limit_s": _set("worker", "ops", "cli"),
    "retry_": _set("worker", "ops", "cli"),
    "dead_": _set("worker", "ops", "cli"),
    "gateway_": _set("gateway"),
    "jwt_": _set("gateway"),
    "ops_": _set("ops"),
}
"""A setting's name, or what a group of names begins with → who reads it. What is not here, everybody reads."""


def readers_of(field: str) -> frozenset[Process]:
    """The processes that read a setting, by its field name."""
    rules = [start for start in _READERS if field == start or (start.endswith("_") and field.startswith(start))]
    return _READERS[max(rules, key=len)] if rules else EVERYBODY


def chosen(for_: Process | Iterable[Process] | None) -> frozenset[Process]:
    """The processes that were asked for; all, if none was named.

    Raises:
        ValueError: there is no such process.
    """
    if for_ is None:
        return EVERYBODY
    named = frozenset([for_] if isinstance(for_, str) else for_)
    if not named <= EVERYBODY:
        raise ValueError(f"There is no process {', '.join(sorted(named - EVERYBODY))}; use {', '.join(PROCESSES)}.")
    return named
