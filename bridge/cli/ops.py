"""``sse-bridge ops``: the operators' page, served by uvicorn as the settings say."""

import os
from typing import Any

import click

from bridge.catalogs import load_registry
from bridge.local import serve
from bridge.model.errors import SettingsError
from bridge.ops import create_ops_app
from bridge.settings import OpsSettings, load_settings


@click.command()
@click.option("--host", help="Address to listen on.  [default: BRIDGE_OPS_HOST]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: BRIDGE_OPS_PORT]")
def ops(host: str | None, port: int | None) -> None:
    r"""Run the operators' page: see the bridge, understand dead letters, redrive or discard them.

    Wants BRIDGE_OPS_TOKEN, which lets you act, or BRIDGE_OPS_VIEW_TOKEN, which lets you look. Listens on this machine
    only unless a host is named; beyond it, put HTTPS in front. Also serves /metrics, /health/live and /health/ready,
    without a token. Redrives begun on the page run in this process, and can be resumed when it ends.

    \b
    Examples:
      BRIDGE_OPS_TOKEN=$(openssl rand -hex 32 | tee ops-token) sse-bridge ops
      sse-bridge ops --port 9000

    Exit codes: 0 stopped, 1 the port is in use or an extra is missing, 2 wrong settings or no token, 130 Ctrl-C.
    """
    given: dict[str, Any] = {"ops_host": host, "ops_port": port}
    settings = load_settings(for_=OpsSettings, **{name: value for name, value in given.items() if value is not None})
    if not (settings.ops_token or settings.ops_view_token):
        raise SettingsError(
            "The operators' page needs a token. Make one and keep it, then start again: "
            "export BRIDGE_OPS_TOKEN=$(openssl rand -hex 32)"
        )
    registry = load_registry(settings.registry)
    app = create_ops_app(settings, registry)
    # Uvicorn believes every client of this machine by default, and so every client that a proxy here lets through.
    forwarded = bool(os.environ.get("FORWARDED_ALLOW_IPS"))
    click.echo(f"The operators' page: http://{_shown(settings.ops_host)}:{settings.ops_port}/  (Ctrl-C ends it)")
    serve(app, host=settings.ops_host, port=settings.ops_port, named="BRIDGE_OPS", extra="ops", forwarded=forwarded)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
