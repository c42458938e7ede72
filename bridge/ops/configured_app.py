"""``app``: what the environment's settings describe for operators; made by importing this module, and not before."""

from bridge.catalogs import app_from_environment
from bridge.ops import create_ops_app
from bridge.settings import OpsSettings

app = app_from_environment(OpsSettings, create_ops_app)
"""The operators' application that the environment's settings describe: ``uvicorn bridge.ops:app``.

Made when it is first asked for. Where the settings are wrong, SystemExit says so in a sentence.
"""
