"""``Finding``: one sentence of ``check`` about one subject; and what it says of a Redis from its INFO alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge.cli.console import Level


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the installation."""

    level: Level
    subject: str  # settings, registry, broker, redis, or the process that would suffer
    text: str


def judge_redis(info: dict[str, Any], place: str, subject: str) -> Iterator[Finding]:
    """Findings about a Redis from what its INFO says; the worker says the same when it starts."""
    from bridge.redis_adapter import server_faults, server_warnings

    if not info:
        yield Finding("ok", subject, f"{place} answers, and does not tell this user what it is.")
        return
    faults = server_faults(info)
    for sentence in faults:
        yield Finding("fault", subject, f"{place} cannot be used: {sentence}")
    if not faults:
        yield Finding("ok", subject, f"{place} answers: {_server_name(info)}.")
    for sentence in server_warnings(info):
        yield Finding("warning", subject, sentence)


def _server_name(info: dict[str, Any]) -> str:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    return f"{name} {info.get('valkey_version') or info.get('redis_version', '?')}"
