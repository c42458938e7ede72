"""Two catalogs behind one worker and one gateway: each team's producer knows its own, and a user hears of both."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from bridge import Emitter, load_registry, load_settings
from bridge.catalogs.finance import FileImportSucceeded
from examples.shop.catalog import registry as shop
from examples.shop.events import FlashSaleStarted
from tests.support.gateway import Listener, running_gateway
from tests.support.worker import running_worker

BOTH = "examples.shop.catalog:registry, bridge.catalogs.finance:REGISTRY"


def test_one_worker_and_one_gateway_serve_two_catalogs(redis_url: str, tmp_path: Path) -> None:
    environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_REGISTRY": BOTH}
    settings = load_settings({"BRIDGE_BROKER_URL": redis_url})
    user = uuid4()
    with ExitStack() as running:
        running.enter_context(running_worker(tmp_path, environment))
        listener = Listener(running.enter_context(running_gateway(tmp_path, environment)), user)
        running.callback(listener.close)
        for registry, event in (
            (shop, FlashSaleStarted(title="Teapots", discount_percent=10, ends_at=datetime.now(UTC))),
            (load_registry(), FileImportSucceeded(user_id=user, file_name="may.csv", transaction_count=1)),
        ):
            emitter = Emitter(settings, registry)
            running.callback(emitter.close)
            assert emitter.emit(event)
        assert {str(event.event) for event in listener.wait_for(2)} == {"sale.started", "import.completed"}
