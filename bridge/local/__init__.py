"""A whole bridge on one machine: its own server, worker and gateway in one command."""

from bridge.local.asgi_server import serve
from bridge.local.redis_server import EmbeddedServer, find_server
from bridge.local.stack import LocalStack, become_worker, is_live, require_free_port
from bridge.local.temporary_folder import OwnFolder
