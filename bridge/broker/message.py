"""Writing a Celery message by hand: protocol 2 around envelopes that are JSON already.

Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

ATTEMPT_HEADER = "bridge_attempt"
"""Header that tells the worker which attempt a message is; absent means the first."""

CONTENT_TYPE = "application/json"
CONTENT_ENCODING = "utf-8"

_BODY_HEAD = b"[[["
_BODY_TAIL = b']],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
OVERHEAD_BYTES = len(_BODY_HEAD) + len(_BODY_TAIL)
"""What a body has besides its envelopes and the commas between them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskMessage:
    """One Celery message: 1..N envelopes of one type.

    Attributes:
        task: ``bridge.<DomainEventClass>``.
        queue: ``bridge.<category>``.
        envelopes: each a JSON object.
        attempt: 1 for the first.
    """

    task: str
    queue: str
    envelopes: Sequence[bytes]
    attempt: int = 1

    def body(self) -> bytes:
        """``[args, kwargs, embed]`` with ``args = [[envelope, ...]]``, as JSON."""
        return _BODY_HEAD + b",".join(self.envelopes) + _BODY_TAIL

    def headers(self, message_id: str) -> dict[str, Any]:
        """Protocol 2 headers. Nothing of the envelopes' content is in them, as tools log and show them."""
        headers: dict[str, Any] = {
            "lang": "py",
            "task": self.task,
            "id": message_id,
            "root_id": message_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "eta": None,
            "expires": None,
            "timelimit": [None, None],
            "argsrepr": f"({len(self.envelopes)} events)",
            "kwargsrepr": "{}",
            "origin": f"{os.getpid()}@{socket.gethostname()}",
            "ignore_result": True,
        }
        if self.attempt > 1:
            headers[ATTEMPT_HEADER] = self.attempt
        return headers


def new_message_id() -> str:
    """A new Celery task id."""
    return str(uuid4())
