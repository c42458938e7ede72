"""What ``check`` finds: each finding is a sentence about one subject."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bridge.cli.documents import mask_password
from bridge.errors import RegistryError, SettingsError
from bridge.registry import BUILT_IN, Registry, load_registry, unchecked_mappings
from bridge.settings import Settings, load_settings

MIN_REDIS = (7, 0)
CONNECT_TIMEOUT_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One sentence about the installation.

    Attributes:
        subject: settings, registry, broker or redis.
    """

    level: Literal["ok", "warning", "fault"]
    subject: str
    text: str

    def as_dict(self) -> dict[str, str]:
        """JSON values."""
        return asdict(self)


def inspect_configuration(registry_path: str) -> tuple[Settings | None, list[Finding]]:
    """Findings about settings and registry; the settings, if they are usable. Empty path: the built-in registry."""
    findings: list[Finding] = []
    settings = None
    try:
        settings = load_settings()
        findings.append(Finding(level="ok", subject="settings", text="all values are valid."))
    except SettingsError as error:
        findings += [Finding(level="fault", subject="settings", text=fault) for fault in _faults(error)]
    findings += _inspect_registry(registry_path or BUILT_IN)
    return settings, findings


def _faults(error: SettingsError) -> list[str]:
    lines = str(error).splitlines()
    return [line.removeprefix("  - ") for line in lines[1:]] or lines


def _inspect_registry(path: str) -> Iterator[Finding]:
    try:
        registry = load_registry(path)
    except RegistryError as error:
        for fault in error.faults or (str(error),):
            yield Finding(level="fault", subject="registry", text=fault)
        return
    yield Finding(level="ok", subject="registry", text=_summary(registry, path))
    for name in unchecked_mappings(registry.mappings):
        text = f"{name}'s payload was not checked, as no sample could be made; give its mapping an example."
        yield Finding(level="warning", subject="registry", text=text)
    for meta in registry.gaps():
        text = f"no domain event is mapped to {meta.event_type.value}; the worker never publishes it."
        yield Finding(level="warning", subject="registry", text=text)


def _summary(registry: Registry, path: str) -> str:
    counts = registry.statistics()
    return f"{path} has {counts['total_event_types']} types and {counts['total_mappings']} mappings."


def inspect_connections(settings: Settings) -> list[Finding]:
    """Findings about the broker and Redis, from connecting to them."""
    if settings.store_url == settings.broker_url:
        return list(_inspect_redis(settings.store_url, "redis"))
    return [*_inspect_broker(settings), *_inspect_redis(settings.store_url, "redis")]


def _inspect_broker(settings: Settings) -> Iterator[Finding]:
    if settings.broker_url.startswith("redis"):
        yield from _inspect_redis(settings.broker_url, "broker")
        return
    from kombu import Connection

    from bridge.broker.options import transport_options

    place = ";".join(mask_password(part) for part in settings.broker_url.split(";"))
    try:
        with Connection(
            settings.broker_url, connect_timeout=CONNECT_TIMEOUT_S, transport_options=transport_options(settings)
        ) as connection:
            connection.ensure_connection(max_retries=1, timeout=CONNECT_TIMEOUT_S)
    except Exception as error:  # each transport has errors of its own, and all mean the same here
        yield Finding(level="fault", subject="broker", text=f"{place} cannot be used: {_reason(error)}.")
    else:
        yield Finding(level="ok", subject="broker", text=f"{place} answers.")


def _inspect_redis(url: str, subject: str) -> Iterator[Finding]:
    import redis

    place = mask_password(url)
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=CONNECT_TIMEOUT_S, socket_timeout=CONNECT_TIMEOUT_S
        ) as client:
            info: dict[str, Any] = client.info()
    except (redis.RedisError, OSError, ValueError) as error:
        yield Finding(level="fault", subject=subject, text=f"{place} cannot be used: {_reason(error)}.")
        return
    yield from judge_redis(info, place, subject)


def judge_redis(info: dict[str, Any], place: str, subject: str) -> Iterator[Finding]:
    """Findings about a Redis from what its INFO says."""
    version = str(info.get("redis_version", "0"))
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    shown = info.get("valkey_version", version)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MIN_REDIS:
        text = f"{place} is {name} {shown}; streams need 7.0 or later to tell whether events were trimmed."
        yield Finding(level="fault", subject=subject, text=text)
    else:
        yield Finding(level="ok", subject=subject, text=f"{place} answers: {name} {shown}.")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}, which may evict queues and streams; set it to noeviction."
        yield Finding(level="warning", subject=subject, text=text)
    if not info.get("aof_enabled"):
        text = "appendonly is off, so a restart of Redis loses what is queued; turn it on."
        yield Finding(level="warning", subject=subject, text=text)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(". ")
