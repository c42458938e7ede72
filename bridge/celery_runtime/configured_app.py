"""``app``: the Celery app that the environment's settings describe; made by importing this module, and not before.

Raises:
    SystemExit: the settings or the registry are wrong; says how, without a traceback.
"""

from bridge.catalogs import load_configured
from bridge.celery_runtime.app import create_app
from bridge.model.errors import BridgeError

try:
    app = create_app(*load_configured("worker"))
except BridgeError as error:
    raise SystemExit(str(error)) from None
