"""Every setting, and who reads it. Only ``bridge.settings.environment`` reads the environment (``BRIDGE_*``)."""

from bridge.settings.declaring import PREFIX, Declaration, environment_name
from bridge.settings.environment import is_given, load_settings, overruled, put_beneath, read_settings
from bridge.settings.parts import (
    AccountingSettings,
    CatalogSettings,
    QueueSettings,
    ReleaseSettings,
    RetentionSettings,
    ServerSettings,
    unjudged,
)
from bridge.settings.processes import (
    DECLARATIONS,
    PROCESSES,
    SETTINGS_OF,
    GatewaySettings,
    OperatorSettings,
    OpsSettings,
    Process,
    ProducerSettings,
    Settings,
    StreamSettings,
    WorkerSettings,
    readers_of,
)
from bridge.settings.urls import is_loopback
