"""Every setting, and who reads it. Only ``bridge.settings.environment`` reads the environment (``BRIDGE_*``)."""

from bridge.settings.contradictions import OPS_TOKEN_CHARS_MIN, is_loopback
from bridge.settings.environment import PREFIX, Reading, environment_name, load_settings, read_settings
from bridge.settings.model import DEFAULT_REDIS_URL, SEEN_MARGIN_S, Settings, changed_settings
from bridge.settings.processes import PROCESSES, Process, readers_of

__all__ = [
    "DEFAULT_REDIS_URL",
    "OPS_TOKEN_CHARS_MIN",
    "PREFIX",
    "PROCESSES",
    "SEEN_MARGIN_S",
    "Process",
    "Reading",
    "Settings",
    "changed_settings",
    "environment_name",
    "is_loopback",
    "load_settings",
    "read_settings",
    "readers_of",
]
