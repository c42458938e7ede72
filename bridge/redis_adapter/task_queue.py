"""``RedisTaskQueue``: messages in kombu's format, written to Redis and the accounting in one pipelined step."""

from binascii import b2a_base64
from collections.abc import Sequence
from uuid import uuid4

import msgspec

from bridge.messages.compression import compressed
from bridge.messages.task_message import CONTENT_ENCODING, CONTENT_TYPE, TaskMessage
from bridge.model.errors import StoreError, as_broker_error
from bridge.redis_adapter import connect_broker
from bridge.redis_adapter.announcer import Announcer
from bridge.redis_adapter.ledger import Entries
from bridge.settings import QueueSettings
from bridge.settings.topology import topology


class RedisTaskQueue:
    """``bridge.ports.Queue`` on Redis: a script for each message, all in one round trip."""

    def __init__(self, settings: QueueSettings) -> None:
        self._client = connect_broker(settings)
        self._entries = Entries(self._client)
        self._prefix = settings.queue_prefix
        # With the accounting elsewhere, they are written first: what is announced and not sent is found by an audit.
        self._announcer = None if topology(settings).one_server else Announcer(settings)

    def prepare(self) -> None: ...

    def send(self, messages: Sequence[TaskMessage]) -> None:
        announced = self._announcer is None or self._announcer.announce(messages)
        try:
            self._entries.enter_and_push(
                [
                    (
                        message.message_id,
                        message.task,
                        message.queue,
                        message.event_ids if self._announcer is None else b"",
                        self._prefix + message.queue,
                        queue_item(message, announced=announced),
                    )
                    for message in messages
                ]
            )
        except StoreError as error:
            self.close()
            raise as_broker_error(error, f"The broker did not take {len(messages)} messages.") from error

    def insist_on_room(self) -> None:
        """As ``Queue.insist_on_room``: a full Redis is known when it is written to."""

    def close(self) -> None:
        self._client.close()
        if self._announcer is not None:
            self._announcer.close()


def queue_item(message: TaskMessage, *, announced: bool) -> bytes:
    """A message as kombu's Redis transport keeps it on a list."""
    body, compression = compressed(message.body())
    return msgspec.json.encode(
        {
            "body": b2a_base64(body, newline=False).decode(),
            "content-encoding": CONTENT_ENCODING,
            "content-type": CONTENT_TYPE,
            "headers": message.headers(announced=announced, compression=compression),
            "properties": {
                "correlation_id": message.message_id,
                "reply_to": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": message.queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    )
