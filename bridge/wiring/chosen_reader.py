"""``queue_reader``: the reader of queues that fits the broker."""

from bridge.messages.queue_state import QueueReader
from bridge.redis_adapter import Ledger
from bridge.settings import Settings
from bridge.settings.topology import topology


def queue_reader(settings: Settings, ledger: Ledger) -> QueueReader:
    """Opens no connection before its first use."""
    if topology(settings).on_redis:
        from bridge.redis_adapter import RedisQueueDepths

        return RedisQueueDepths(settings, ledger)
    from bridge.amqp_adapter.queue_depths import RabbitQueueDepths

    return RabbitQueueDepths(settings, ledger)
