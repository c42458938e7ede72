"""AMQP properties that py-amqp cannot read: they end as one unreadable message, and not as the death of its reader."""

from base64 import b64decode, b64encode
from typing import Any

from amqp import method_framing
from amqp.basic_message import Message

UNREADABLE = "unreadable"
"""Property under which the bytes of such properties are kept, in base64."""


class GuardedMessage(Message):
    """A message as py-amqp makes it of what arrives.

    py-amqp reads tables by recursion, times by the calendar and names in UTF-8, while RabbitMQ passes anything on.
    What it raises would end the worker, and then the next, as the message goes back to its queue each time.
    """

    def _load_properties(self, class_id: int, buf: Any, offset: int) -> int:
        try:
            return int(super()._load_properties(class_id, buf, offset))
        except Exception:  # RecursionError, OverflowError, FrameSyntaxError, UnicodeDecodeError, ...
            self.properties = {UNREADABLE: b64encode(buf[offset:]).decode()}
            return len(buf)

    def _serialize_properties(self) -> bytes:
        """As they came, where they are sent on."""
        if UNREADABLE in self.properties:
            return b64decode(self.properties[UNREADABLE])
        return bytes(super()._serialize_properties())


def guard_amqp() -> None:
    """Have py-amqp read every message of this process so."""
    method_framing.Message = GuardedMessage
