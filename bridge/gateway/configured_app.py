"""``app``: the gateway that the environment's settings describe; made by importing this module, and not before."""

from bridge.catalogs import app_from_environment
from bridge.gateway import create_app

app = app_from_environment("gateway", create_app)
