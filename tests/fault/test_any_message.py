"""Whatever hypothesis can think of as a message: it is handled, or it is quarantined with the very bytes that stood there."""

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import redis
from hypothesis import HealthCheck
from hypothesis import strategies as st

from bridge.broker.fitness import check_message
from bridge.embedded.server import EmbeddedServer
from bridge.errors import BridgeError
from bridge.store import Counts, DeadLetters, connect
from tests.fault.load import environment_for, settings_for
from tests.integration.test_worker_quarantine import QUEUE, envelope, item
from tests.support.waiting import wait_until
from tests.support.worker import running_worker
