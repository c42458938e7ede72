"""``Announcer``: enters messages into an accounting that is not on the broker, if it can be reached."""

import time
from collections.abc import Sequence

from bridge.messages.task_message import TaskMessage
from bridge.model.errors import StoreError
from bridge.model.plain_text import plain_logger
from bridge.redis_adapter import connect_briefly
from bridge.redis_adapter.ledger import Entries
from bridge.settings import ServerSettings

logger = plain_logger(__name__)

PAUSE_S = 10.0
"""How long messages go unannounced after the accounting was out of reach, so that they hold up no message for long."""


class Announcer:
    """Keeps a connection to the accounting. Without it messages are sent all the same: the worker enters them then."""

    def __init__(self, settings: ServerSettings) -> None:
        self._client = connect_briefly(settings)
        self._entries = Entries(self._client)
        self._away_until = 0.0

    def announce(self, messages: Sequence[TaskMessage]) -> bool:
        """Enter messages; idempotent by message id. Returns whether they are in the accounting."""
        if time.monotonic() < self._away_until:
            return False
        try:
            self._entries.enter([(m.message_id, m.task, m.queue, m.event_ids) for m in messages if m.event_ids])
        except StoreError as error:
            self._away_until = time.monotonic() + PAUSE_S
            logger.warning("bridge.books.away: for %g s messages are sent unannounced. %s", PAUSE_S, error)
            return False
        return True

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        self._client.close()
