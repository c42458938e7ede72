"""What ``check`` finds: each finding is a sentence about one subject."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from bridge.cli.documents import mask_password
from bridge.errors import RegistryError, StoreError
from bridge.pipeline.rehearsal import rehearse
from bridge.registry import BUILT_IN, Registry, load_registry
from bridge.settings import PROCESSES, Process, Settings, read_settings
from bridge.topology import topology

if TYPE_CHECKING:
    import redis

CONNECT_TIMEOUT_S = 3.0
_RUNS_MAPPINGS = frozenset({"producer", "worker"})


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


def inspect_configuration(
    registry_path: str, processes: Iterable[Process] = PROCESSES
) -> tuple[Settings | None, list[Finding]]:
    """Findings about settings and registry; the settings, if they are usable.

    Args:
        registry_path: of the registry; empty: the built-in one.
        processes: whose settings are judged.
    """
    reading = read_settings(for_=processes)
    findings = [Finding(level="fault", subject="settings", text=fault) for fault in reading.faults]
    if not findings:
        findings.append(Finding(level="ok", subject="settings", text="all values are valid."))
    findings += [Finding(level="warning", subject="settings", text=remark) for remark in reading.remarks]
    findings += _inspect_registry(registry_path or reading.settings.registry or BUILT_IN, reading.settings, processes)
    return (None if reading.faults else reading.settings), findings


def _inspect_registry(path: str, settings: Settings, processes: Iterable[Process]) -> Iterator[Finding]:
    try:
        registry = load_registry(path)
    except RegistryError as error:
        for fault in error.faults or (str(error),):
            yield Finding(level="fault", subject="registry", text=fault)
        return
    rehearsed = _RUNS_MAPPINGS.intersection(processes)
    remarks = rehearse(registry, event_max_bytes=settings.event_max_bytes) if rehearsed else []
    if not any(remark.fatal for remark in remarks):
        yield Finding(level="ok", subject="registry", text=_summary(registry, path))
    for remark in remarks:
        yield Finding(level="fault" if remark.fatal else "warning", subject="registry", text=remark.text)
    for meta in registry.gaps():
        text = f"no domain event is mapped to {meta.event_type.value}; the worker never publishes it."
        yield Finding(level="warning", subject="registry", text=text)


def _summary(registry: Registry, path: str) -> str:
    counts = registry.statistics()
    return f"{path} has {counts['total_event_types']} types and {counts['total_mappings']} mappings."


def inspect_connections(settings: Settings) -> list[Finding]:
    """Findings about the broker and Redis, from connecting to them."""
    from bridge.store import connect_briefly

    servers = topology(settings)
    if servers.one_server:
        return list(_inspect_redis(settings.store_url, connect_briefly(settings), "redis"))
    return [*_inspect_broker(settings), *_inspect_redis(settings.store_url, connect_briefly(settings), "redis")]


def _inspect_broker(settings: Settings) -> Iterator[Finding]:
    if topology(settings).broker is not None:
        from bridge.store import connect_broker

        yield from _inspect_redis(settings.broker_url, connect_broker(settings, briefly=True), "broker")
        return
    from kombu import Connection

    from bridge.broker.options import transport_options

    place = mask_password(settings.broker_url)
    try:
        with Connection(
            settings.broker_url, connect_timeout=CONNECT_TIMEOUT_S, transport_options=transport_options(settings)
        ) as connection:
            connection.ensure_connection(max_retries=1, timeout=CONNECT_TIMEOUT_S)
    except Exception as error:  # each transport has errors of its own, and all mean the same here
        yield Finding(level="fault", subject="broker", text=f"{place} cannot be used: {_reason(error)}.")
    else:
        yield Finding(level="ok", subject="broker", text=f"{place} answers.")


def _inspect_redis(url: str, client: "redis.Redis", subject: str) -> Iterator[Finding]:
    from bridge.store.client import store_errors

    place = mask_password(url)
    try:
        with store_errors(), client:
            info: dict[str, Any] = client.info()
    except StoreError as error:
        yield Finding(level="fault", subject=subject, text=f"{place} cannot be used: {error}")
        return
    yield from judge_redis(info, place, subject)


def judge_redis(info: dict[str, Any], place: str, subject: str) -> Iterator[Finding]:
    """Findings about a Redis from what its INFO says; the worker says the same when it starts."""
    from bridge.store import server_faults, server_warnings

    faults = server_faults(info)
    for sentence in faults:
        yield Finding(level="fault", subject=subject, text=f"{place} cannot be used: {sentence}")
    if not faults:
        yield Finding(level="ok", subject=subject, text=f"{place} answers: {_server_name(info)}.")
    for sentence in server_warnings(info):
        yield Finding(level="warning", subject=subject, text=sentence)


def _server_name(info: dict[str, Any]) -> str:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    return f"{name} {info.get('valkey_version') or info.get('redis_version', '?')}"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(". ")
