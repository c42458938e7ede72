"""Moving what is stranded on a queue of RabbitMQ: each message is taken away when the other queue has it."""

from pathlib import Path
from uuid import uuid4

from bridge import Emitter, Settings, User
from bridge.redis_adapter import Ledger, connect, read_balance
from tests.support import keys
from tests.support.processes import run_cli
from tests.support.skewed_catalogs import Old, old
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

NUMBER = 30


def test_what_is_stranded_on_rabbitmq_is_moved_and_published(amqp_url: str, redis_url: str, tmp_path: Path) -> None:
    settings = Settings(broker_url=amqp_url, redis_url=redis_url, emit_batch_max=10)
    environment = {
        "BRIDGE_BROKER_URL": amqp_url,
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_REGISTRY": "tests.support.skewed_catalogs:renamed",
    }
    user = uuid4()
    emitter = Emitter(settings, old)
    emitter.emit_many([Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
    assert emitter.flush(WAIT_S)
    emitter.close()
    with running_worker(tmp_path, environment), connect(settings) as client:
        wait_until(lambda: client.hlen(keys.WORKERS), what="the worker reports")
        assert "bridge.orders" in run_cli("status", environment=environment).stdout
        moved = run_cli("queues", "move", "bridge.orders", "bridge.purchases", "-y", environment=environment)
        assert moved.returncode == 0, moved
        wait_until(lambda: client.xlen(keys.stream(User(user))) == NUMBER, what="all is published")
        wait_until(lambda: not read_balance(client).open, what="all has ended")
        assert read_balance(client).balanced
        assert not list(Ledger(client, settings).summaries())
