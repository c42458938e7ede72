"""A bridge worker that AMQP's heartbeat tells of a dead line after HEARTBEAT_S, twice, instead of after two minutes."""

import os

from bridge.worker import app

app.conf.broker_heartbeat = int(os.environ["HEARTBEAT_S"])
