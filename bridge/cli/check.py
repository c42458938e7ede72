"""``sse-bridge check``: all faults of settings and registry at once, and on request of broker and Redis."""

from collections.abc import Iterable, Iterator, Sequence

import click

from bridge.catalogs import BUILT_IN, load_registry
from bridge.cli.connecting import Finding, inspect_building, inspect_celery_app, inspect_connections
from bridge.cli.console import json_option, marked, print_json
from bridge.model.errors import RegistryError
from bridge.model.pipeline.rehearsal import gaps, rehearse
from bridge.model.registry import Registry
from bridge.settings import PROCESSES, Process, Settings, read_settings
from sse_bridge.naming import namesakes


@click.command()
@click.option(
    "--connect", is_flag=True, help="Also connect to the broker and to Redis, and do there what the bridge does."
)
@click.option(
    "--for",
    "process",
    type=click.Choice(PROCESSES),
    help="Judge what this process uses, and nothing else.  [default: what any of them uses]",
)
@json_option
@click.option(
    "--registry",
    envvar="BRIDGE_REGISTRY",
    default="",
    metavar="PATH",
    help="The registry to check, as package.module:attribute.  [default: that of BRIDGE_REGISTRY]",
)
@click.option(
    "--celery-app",
    metavar="PATH",
    help="Also look at a Celery app of your own in which the bridge is installed, named as for celery -A.",
)
@click.pass_context
def check(
    ctx: click.Context, connect: bool, process: Process | None, as_json: bool, registry: str, celery_app: str | None
) -> None:
    r"""Check settings and registry; with --connect also the broker and Redis.

    Reports every fault at once. Sends sample events of each mapping the whole way, as far as it leads without a
    broker: written, read, extracted, encoded. Warnings are what works but may surprise: mappings of which no sample
    can be made, types that nothing is mapped to, a Redis that evicts. Good as a step of CI and before a deployment.

    With --connect it connects as each process does, looks for every right that its user needs, and does once, on
    scratch keys that it removes, what the process does: run its scripts, publish, subscribe, declare its queues.

    \b
    Examples:
      sse-bridge check
      sse-bridge check --connect
      sse-bridge check --connect --for worker
      sse-bridge check --registry shop.catalog:registry --json
      sse-bridge check --celery-app proj.celery

    Exit codes: 0 no faults (warnings are allowed), 1 a process could not do its work with these servers and packages,
    2 settings or registry are wrong.
    """
    processes: Sequence[Process] = [process] if process else PROCESSES
    settings, catalog, findings = inspect_configuration(registry, processes)
    if settings is not None and catalog is not None and not any(finding.level == "fault" for finding in findings):
        for one in processes if process or connect else ():
            findings += inspect_building(settings, catalog, one, asked=process is not None)
        if celery_app:
            findings += inspect_celery_app(celery_app, settings, catalog)
        if connect:
            findings += inspect_connections(settings, catalog, processes)
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            marked(finding.level, f"{finding.subject}: {finding.text}", err=finding.level == "fault")
    faults = [finding for finding in findings if finding.level == "fault"]
    if faults:
        ctx.exit(2 if any(finding.subject in ("settings", "registry") for finding in faults) else 1)


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
    findings += [Finding("warning", "bridge", remark) for remark in namesakes()]
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
    for remark in [*remarks, *gaps(registry)]:
        yield Finding("fault" if remark.fatal else "warning", "registry", remark.text)


def _summary(registry: Registry, path: str) -> str:
    counts = registry.statistics()
    return f"{path} has {counts['total_event_types']} types and {counts['total_mappings']} mappings."
