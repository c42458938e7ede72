"""A worker's app that sends itself the signal TEST_SIGNAL at the point TEST_POINT of its start."""

import os
import signal
from typing import Any

from celery import signals
from celery.concurrency.base import BasePool

from bridge.catalogs import load_configured
from bridge.celery_runtime.consumer import BridgeConsumer
from bridge.settings import WorkerSettings
from bridge.worker import create_app

NUMBER = signal.Signals[os.environ["TEST_SIGNAL"]]
POINT = os.environ["TEST_POINT"]
PID = os.getpid()


def _at(point: str) -> None:
    if point == POINT and os.getpid() == PID:
        os.kill(PID, NUMBER)


def _before(kind: type[Any], method: str, point: str) -> None:
    stock = getattr(kind, method)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _at(point)
        return stock(*args, **kwargs)

    setattr(kind, method, wrapped)


app = create_app(*load_configured(WorkerSettings))
signals.worker_init.connect(lambda **_: _at("init"), weak=False)
signals.celeryd_after_setup.connect(lambda **_: _at("setup"), weak=False)
signals.worker_ready.connect(lambda **_: _at("ready"), weak=False)
_before(BasePool, "start", "pool")
_before(BridgeConsumer, "connect", "connect")
_before(BridgeConsumer, "create_task_handler", "handler")
_before(BridgeConsumer, "_set_up", "inside")
