"""Putting any message on either kind of broker, past everything that a producer would check."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import uuid4

import redis
from kombu import Connection, Producer

from bridge import Settings
from bridge.amqp_adapter.kombu_options import queue

QUEUE = "bridge.moods"
TASK = "bridge.Moody"


class Put(Protocol):
    def __call__(
        self,
        body: bytes,
        *,
        compression: str = "",
        headers: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        content_encoding: str = "utf-8",
    ) -> None: ...


def celery_headers(**changes: Any) -> dict[str, Any]:
    return {"lang": "py", "task": TASK, "id": str(uuid4()), "timelimit": [None, None], **changes}


def queue_item(
    body: bytes,
    *,
    compression: str = "",
    headers: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
    content_encoding: str = "utf-8",
) -> bytes:
    """What kombu would put on a Redis list."""
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": content_encoding,
            "content-type": content_type,
            "headers": celery_headers(**({"compression": compression} if compression else {}), **(headers or {})),
            "properties": {
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    ).encode()


def put_on_redis(client: redis.Redis) -> Put:
    def put(body: bytes, **told: Any) -> None:
        client.lpush(QUEUE, queue_item(body, **told))

    return put


def put_on_rabbitmq(url: str, store_url: str) -> Put:
    declared = queue(Settings(broker_url=url, redis_url=store_url), QUEUE)

    def put(
        body: bytes,
        *,
        compression: str = "",
        headers: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        content_encoding: str = "utf-8",
    ) -> None:
        with Connection(url) as connection:
            told = {"compression": compression} if compression else {}
            Producer(connection.channel(), auto_declare=False).publish(
                body,
                exchange="",
                routing_key=QUEUE,
                declare=[declared],
                content_type=content_type,
                content_encoding=content_encoding,
                headers=celery_headers(**told, **(headers or {})),
                delivery_mode=2,
            )

    return put


def envelope(**changes: Any) -> dict[str, Any]:
    """What an event of ``Moody`` travels in."""
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "test",
        "type": "Moody",
        "time": "2026-01-01T00:00:00Z",
        "data": {"user_id": str(uuid4()), "number": 1},
        **changes,
    }


def body_of(*envelopes: Any) -> bytes:
    """A Celery body around any envelopes."""
    return json.dumps([[list(envelopes)], {}, {}]).encode()
