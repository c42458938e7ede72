"""``app``: the gateway that the environment's settings describe; made by importing this module, and not before."""

from bridge.catalogs import app_from_environment
from bridge.gateway import create_app
from bridge.settings import GatewaySettings

app = app_from_environment(GatewaySettings, create_app)
"""The gateway that the environment's settings describe, for an ASGI server: ``uvicorn bridge.gateway:app``.

Made when it is first asked for. Where the settings are wrong, SystemExit says so in a sentence.
"""
