"""Every setting, and who reads it. Only ``bridge.settings.environment`` reads the environment (``BRIDGE_*``)."""

from bridge.settings.contradictions import is_loopback
from bridge.settings.environment import PREFIX, environment_name, load_settings, read_settings
from bridge.settings.model import SEEN_MARGIN_S, Settings, changed_settings
from bridge.settings.processes import PROCESSES, Process, readers_of
