"""Which adapter stands behind each port, chosen once from the settings."""

from typing import TYPE_CHECKING

from bridge.on_demand import on_demand

if TYPE_CHECKING:
    from bridge.wiring.chosen_reader import queue_reader
    from bridge.wiring.opened_store import open_store
    from bridge.wiring.task_sender import TaskSender
    from bridge.wiring.worker_adapters import worker_ports

__all__, __getattr__ = on_demand(
    __name__,
    {
        "bridge.wiring.opened_store": "open_store",
        "bridge.wiring.chosen_reader": "queue_reader",
        "bridge.wiring.task_sender": "TaskSender",
        "bridge.wiring.worker_adapters": "worker_ports",
    },
)
