"""``sse-bridge check``: all faults of settings and registry at once, and on request those of broker and Redis."""

import json

import click

from bridge.cli.inspection import Finding, inspect_configuration, inspect_connections
from bridge.settings import PROCESSES, Process


@click.command()
@click.option(
    "--connect", is_flag=True, help="Also connect to the broker and to Redis, and look at how they are set up."
)
@click.option(
    "--for",
    "process",
    type=click.Choice(PROCESSES),
    help="Judge what this process uses, and nothing else.  [default: what any of them uses]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
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

    \b
    Examples:
      sse-bridge check
      sse-bridge check --connect
      sse-bridge check --connect --for worker
      sse-bridge check --registry shop.catalog:registry --json

    Exit codes: 0 no faults (warnings are allowed), 1 broker or Redis cannot be used, 2 settings or registry are wrong.
    """
    settings, findings = inspect_configuration(registry, [process] if process else PROCESSES)
    if connect and settings is not None:
        findings += inspect_connections(settings)
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            _print(finding)
    faults = [finding for finding in findings if finding.level == "fault"]
    if faults:
        ctx.exit(2 if any(finding.subject in ("settings", "registry") for finding in faults) else 1)


_MARKS = {"fault": ("✗", "red"), "warning": ("!", "yellow"), "ok": ("✓", "green")}


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.level]
    click.echo(
        f"{click.style(mark, fg=colour, bold=True)} {finding.subject}: {finding.text}", err=finding.level == "fault"
    )
