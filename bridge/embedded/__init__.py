"""A whole bridge on one machine: embedded server, worker and gateway in one command."""

from bridge.embedded.folder import OwnFolder
from bridge.embedded.house import House, is_live, require_free_port
from bridge.embedded.server import EmbeddedServer, find_server
from bridge.embedded.serving import serve

__all__ = ["EmbeddedServer", "House", "OwnFolder", "find_server", "is_live", "require_free_port", "serve"]
