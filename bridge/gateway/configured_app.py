"""``app``: the gateway that the environment's settings describe; made by importing this module, and not before."""

from bridge.catalogs import app_from_environment
from bridge.gateway import create_app
from bridge.settings import GatewaySettings

app = app_from_environment(GatewaySettings, create_app)
