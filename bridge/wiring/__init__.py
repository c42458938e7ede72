"""Which adapter stands behind each port, chosen once from the settings."""

from bridge.wiring.task_sender import TaskSender

__all__ = ["TaskSender"]
