"""What ``check`` finds without connecting: settings, and the registry with a rehearsal of each mapping."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.catalogs import BUILT_IN, load_registry
from bridge.cli.console import Level
from bridge.model.errors import RegistryError
from bridge.model.pipeline.rehearsal import rehearse
from bridge.model.registry import Registry
from bridge.settings import PROCESSES, Process, Settings, read_settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about the installation."""

    level: Level
    subject: str  # settings, registry, broker, redis, or the process that would suffer
    text: str


_RUNS_MAPPINGS = frozenset({"producer", "worker"})


def inspect_configuration(
    registry_path: str, processes: Iterable[Process] = PROCESSES
) -> tuple[Settings | None, Registry | None, list[Finding]]:
    """Findings about settings, as these processes read them, and registry; settings and registry, if they are usable.

    ``registry_path`` is ``package.module:attribute``; empty: the settings'.
    """
    reading = read_settings(for_=processes)
    findings = [Finding("fault", "settings", fault) for fault in reading.faults]
    if not findings:
        findings.append(Finding("ok", "settings", "all values are valid."))
    findings += [Finding("warning", "settings", remark) for remark in reading.remarks]
    path = registry_path or reading.settings.registry or BUILT_IN
    registry: Registry | None = None
    try:
        registry = load_registry(path)
    except RegistryError as error:
        findings += [Finding("fault", "registry", text) for text in error.faults or (str(error),)]
    else:
        findings += _inspect_registry(registry, path, reading.settings, processes)
    return (None if reading.faults else reading.settings), registry, findings


def _inspect_registry(
    registry: Registry, path: str, settings: Settings, processes: Iterable[Process]
) -> Iterator[Finding]:
    rehearsed = _RUNS_MAPPINGS.intersection(processes)
    remarks = rehearse(registry, event_max_bytes=settings.event_max_bytes) if rehearsed else []
    if not any(remark.fatal for remark in remarks):
        yield Finding("ok", "registry", _summary(registry, path))
    for remark in remarks:
        yield Finding("fault" if remark.fatal else "warning", "registry", remark.text)
    for meta in registry.gaps():
        text = f"no domain event is mapped to {meta.event_type.value}; the worker never publishes it."
        yield Finding("warning", "registry", text)


def _summary(registry: Registry, path: str) -> str:
    counts = registry.statistics()
    return f"{path} has {counts['total_event_types']} types and {counts['total_mappings']} mappings."
