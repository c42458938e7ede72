"""``sse-bridge gateway``: the SSE endpoint, served by uvicorn as the settings say."""

from typing import Any

import click

from bridge.catalogs import load_registry
from bridge.gateway import create_app
from bridge.local import serve
from bridge.settings import GatewaySettings, load_settings


@click.command()
@click.option("--host", help="Address to listen on.  [default: BRIDGE_GATEWAY_HOST]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: BRIDGE_GATEWAY_PORT]")
def gateway(host: str | None, port: int | None) -> None:
    r"""Run the gateway that browsers connect to.

    Serves GET /api/v1/events, /health/live and /health/ready until Ctrl-C or SIGTERM, then ends the open streams so
    that clients reconnect elsewhere. Needs a way to check tokens (BRIDGE_JWT_SECRET or BRIDGE_JWT_JWKS_URL), an
    authenticator of your own (BRIDGE_GATEWAY_AUTHENTICATOR), or BRIDGE_GATEWAY_DEV=1 on loopback. For several
    processes run: uvicorn bridge.gateway:app --workers 4

    \b
    Examples:
      BRIDGE_GATEWAY_DEV=1 sse-bridge gateway
      BRIDGE_JWT_SECRET=$(openssl rand -hex 32) sse-bridge gateway --host 0.0.0.0 --port 8080

    Exit codes: 0 stopped, 1 the port is in use or an extra is missing, 2 wrong settings.
    """
    given: dict[str, Any] = {"gateway_host": host, "gateway_port": port}
    settings = load_settings(
        for_=GatewaySettings, **{name: value for name, value in given.items() if value is not None}
    )
    registry = load_registry(settings.registry)
    serve(create_app(settings, registry), host=settings.gateway_host, port=settings.gateway_port)
