"""``sse-bridge check``: all faults of settings and registry at once, and on request of broker and Redis."""

from collections.abc import Sequence

import click

from bridge.cli.connecting import inspect_building, inspect_connections
from bridge.cli.console import json_option, marked, print_json
from bridge.cli.inspection import inspect_configuration
from bridge.settings import PROCESSES, Process


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
@click.pass_context
def check(ctx: click.Context, connect: bool, process: Process | None, as_json: bool, registry: str) -> None:
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

    Exit codes: 0 no faults (warnings are allowed), 1 a process could not do its work with these servers and packages,
    2 settings or registry are wrong.
    """
    processes: Sequence[Process] = [process] if process else PROCESSES
    settings, catalog, findings = inspect_configuration(registry, processes)
    if settings is not None and catalog is not None and not any(finding.level == "fault" for finding in findings):
        for one in processes if process or connect else ():
            findings += inspect_building(settings, catalog, one, asked=process is not None)
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
