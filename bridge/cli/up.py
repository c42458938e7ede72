"""``sse-bridge up``: a whole bridge on this machine; and what the demo shares of it, from options to logs."""

import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bridge.catalogs import load_registry
from bridge.cli.console import say
from bridge.local import LocalStack, find_server, is_live, require_free_port
from bridge.model.errors import WORKER_VERSIONS, MissingExtraError, SettingsError, require_extra, require_versions
from bridge.settings import Process, Settings, is_given, is_loopback, load_settings
from bridge.settings.urls import shown_url

SERVER_FOLDER = "server"
PARTS: tuple[Process, ...] = ("producer", "worker", "gateway")
"""Who lives on this machine."""


def names_broker(broker_url: str | None) -> bool:
    """Whether the option, the environment or a project's settings.py names a broker, be it the default one."""
    return bool(broker_url) or is_given("broker_url")


def local_stack_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that ``up`` and the bank demo share."""
    for option in (
        click.option(
            "--broker-url",
            help="Use this broker instead of an embedded server.  [default: that of BRIDGE_BROKER_URL, if set]",
        ),
        click.option("--verbose", is_flag=True, help="Also print what the worker says of each batch."),
        click.option(
            "--redis-port",
            type=click.IntRange(1, 65535),
            help="Port of the embedded server.  [default: a free one]",
        ),
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            help="Keep data in this folder.  [default: a temporary one, removed at the end]",
        ),
        click.option(
            "--port",
            type=click.IntRange(1, 65535),
            help="Port of the gateway.  [default: BRIDGE_GATEWAY_PORT]",
        ),
    ):
        command = option(command)
    return command


def local_settings(*, port: int | None, broker_url: str | None, dev: bool | None = None, **overrides: Any) -> Settings:
    """The environment's settings; without a way to check tokens, in development mode.

    Raises:
        SettingsError: they are wrong, or there are no tokens and the gateway should listen beyond this machine.
    """
    if port is not None:
        overrides["gateway_port"] = port
    if broker_url:
        overrides["broker_url"] = broker_url
    settings = load_settings(for_=PARTS, **overrides)
    if dev is None:
        dev = not (settings.issuers or settings.gateway_authenticator)
    if not dev:
        return settings
    if not is_loopback(settings.gateway_host):
        raise SettingsError(
            f"BRIDGE_GATEWAY_HOST is {settings.gateway_host}, but no token can be checked. Set BRIDGE_JWT_SECRET "
            "(openssl rand -hex 32), or leave the host at 127.0.0.1."
        )
    return load_settings({}, for_=PARTS, **{**asdict(settings), "gateway_dev": True, "gateway_authenticator": ""})


def start_bridge(
    stack: LocalStack, settings: Settings, *, redis_port: int | None, data_dir: Path | None, own_server: bool
) -> Settings:
    """Start server and worker; the settings that all parts share.

    ``own_server``: no broker was named; then a server is embedded, unless BRIDGE_REDIS_URL names one.

    Raises:
        click.UsageError: there is a port or a folder for an embedded server, but no such server.
        BridgeError: a part does not start; the message says why.
    """
    embeds = own_server and not settings.redis_url
    for option, value in (("--redis-port", redis_port), ("--data-dir", data_dir)):
        if value is not None and not embeds:
            raise click.UsageError(
                f"{option} is for the embedded server, and there is none when BRIDGE_BROKER_URL, --broker-url or "
                "BRIDGE_REDIS_URL names one. Leave out one of the two."
            )
    require_extras(embeds=embeds)
    require_free_port(settings.gateway_host, settings.gateway_port)
    if settings.redis_url and own_server:
        # Only BRIDGE_REDIS_URL is set: it is the broker too.
        settings = load_settings({}, for_=PARTS, **{**asdict(settings), "broker_url": settings.redis_url})
    if not embeds:
        say(f"Using Redis at {shown_url(settings.store_url)}.")
    else:
        server = stack.add_server(port=redis_port, folder=data_dir / SERVER_FOLDER if data_dir else None)
        settings = load_settings({}, for_=PARTS, **{**asdict(settings), "broker_url": server.url})
    worker = stack.add_worker(settings)
    stack.wait_for(worker.is_ready.is_set, "The worker")
    return settings


def require_extras(*, embeds: bool) -> None:
    """Refuse before anything is started, naming all that is missing.

    Raises:
        MissingExtraError: the worker's or the gateway's packages are missing, or the embedded server.
    """
    missing = []
    for extra, require in (
        ("worker", lambda: require_versions("worker", "A worker", WORKER_VERSIONS)),
        ("gateway", lambda: require_extra("gateway", "The gateway", "uvicorn", "starlette")),
        ("embedded", find_server if embeds else lambda: None),
    ):
        try:
            require()
        except MissingExtraError:
            missing.append(extra)
    if missing:
        raise MissingExtraError(",".join(missing), "A bridge on this machine")


def wait_for_gateway(stack: LocalStack, settings: Settings) -> bool:
    """Wait until the gateway answers; False if we are asked to stop before that."""
    return stack.wait_for(lambda: is_live(settings.gateway_host, settings.gateway_port), "The gateway")


def watch(stack: LocalStack, ctx: click.Context) -> None:
    """Watch until a stop is asked for, then stop everything. Ctrl-C ends with 130, SIGTERM with 0.

    Raises:
        LocalStackError: a part ended by itself.
    """
    asked = stack.watch()
    say("Stopping.")
    stack.stop()
    say("Stopped; nothing is left running. Goodbye.", bold=True)
    if asked is signal.SIGINT:
        ctx.exit(130)


COLOURS = {"server": "magenta", "worker": "cyan", "gateway": "green", "producer": "yellow"}
NAME_WIDTH = 8

ROUTINE = re.compile(
    r"Task bridge\.\w+\[[\w-]+\] (received|succeeded)"
    r"|^INFO: +(Started server process|Waiting for application|Application (startup|shutdown) complete"
    r"|Shutting down|Waiting for (connections|background tasks) to|Finished server process)"
)
"""What a healthy worker says of each batch, and a healthy gateway of each step of its start and end."""

_lock = threading.Lock()


def logger(*, verbose: bool) -> Callable[[str, str], None]:
    """A printer of lines; without ``verbose`` it leaves out what is said when all goes well."""

    def log(name: str, line: str) -> None:
        """Print one line of a process, if it is not routine."""
        if verbose or not ROUTINE.search(line):
            print_log(name, line)

    return log


def print_log(name: str, line: str) -> None:
    """Print one line of a process; safe to call from several threads."""
    prefix = click.style(f"{name:<{NAME_WIDTH}} |", fg=COLOURS.get(name, "white"))
    with _lock:
        click.echo(f"{prefix} {line}", color=False if os.environ.get("NO_COLOR") else None)


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
        own_server = not names_broker(broker_url)
        settings = start_bridge(stack, settings, redis_port=redis_port, data_dir=data_dir, own_server=own_server)
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
