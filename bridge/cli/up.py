"""``sse-bridge up``: server, worker and gateway on this machine, until Ctrl-C."""

from pathlib import Path

import click

from bridge.catalogs import load_registry
from bridge.cli.console import say
from bridge.cli.local_stack_options import (
    local_settings,
    local_stack_options,
    logger,
    start_bridge,
    wait_for_gateway,
    watch,
)
from bridge.local import LocalStack
from bridge.settings import Settings
from bridge.settings.urls import shown_url


@click.command()
@local_stack_options
@click.pass_context
def up(
    ctx: click.Context,
    port: int | None,
    data_dir: Path | None,
    redis_port: int | None,
    verbose: bool,
    broker_url: str | None,
) -> None:
    r"""Run a whole bridge on this machine: server, worker and gateway.

    Starts an embedded Redis-compatible server, unless BRIDGE_REDIS_URL or BRIDGE_BROKER_URL names one. It listens on
    loopback, with a password that is made up, and kept in --data-dir. Without BRIDGE_JWT_SECRET, BRIDGE_JWT_JWKS_URL or
    BRIDGE_GATEWAY_AUTHENTICATOR the gateway runs in development mode: users of this machine may read all events. If a
    part ends, all end. Ctrl-C stops gateway, worker and server, in this order.

    \b
    Examples:
      sse-bridge up
      sse-bridge up --port 9000 --data-dir .bridge
      BRIDGE_REGISTRY=shop.catalog:registry sse-bridge up

    \b
    Then, in other terminals:
      export BRIDGE_BROKER_URL=...         as printed at the start, with the server's password
      sse-bridge tail 0190f0a1-0000-7000-8000-000000000001
      sse-bridge emit import.failed --user 0190f0a1-0000-7000-8000-000000000001 ...

    Exit codes: 0 stopped by SIGTERM, 130 by Ctrl-C, 1 a part did not start or ended by itself, 2 wrong settings.
    """
    settings = local_settings(port=port, broker_url=broker_url)
    load_registry(settings.registry)
    with LocalStack(logger(verbose=verbose)) as stack:
        settings = start_bridge(stack, settings, redis_port=redis_port, data_dir=data_dir, own_server=not broker_url)
        stack.add_gateway(settings)
        if wait_for_gateway(stack, settings):
            _announce(settings, stack)
        watch(stack, ctx)


def _announce(settings: Settings, stack: LocalStack) -> None:
    address = f"http://{settings.gateway_host}:{settings.gateway_port}/api/v1/events"
    say("The bridge is up. Ctrl-C stops it.", bold=True)
    if settings.gateway_dev:
        say(f"  gateway   {address}?user_id=<id>")
        say(
            "            development mode, because no BRIDGE_JWT_* is set: no tokens, this machine only",
            colour="yellow",
        )
    else:
        own = settings.gateway_authenticator
        say(f"  gateway   {address} ({f'who is asking: {own}' if own else 'bearer token'})")
    # The password of our own server is made up, and of use on this machine alone: the line must work when it is copied.
    url = settings.broker_url if "server" in stack.pids else shown_url(settings.broker_url)
    say(f"  producers export BRIDGE_BROKER_URL={url}")
    say("  processes " + ", ".join(f"{name} {pid}" for name, pid in stack.pids.items()))
