"""Whether the monitors see that many of the events of the last minute died."""

from pathlib import Path
from uuid import uuid4

from bridge import Emitter, Settings
from bridge.ops import create_ops_app
from bridge.redis_adapter import connect, read_balance
from tests.support.moody_catalog import Moody, registry
from tests.support.ops import AppClient
from tests.support.processes import run_cli
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker


def test_a_quarter_of_dead_events_is_no_flow(settings: Settings, tmp_path: Path) -> None:
    environment = {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
        "MOODY_DIR": str(tmp_path),
    }
    with running_worker(tmp_path, environment), connect(settings) as client:
        user = uuid4()
        emitter = Emitter(settings, registry)
        emitter.emit_many([Moody(user_id=user, number=number) for number in range(76)])
        emitter.flush(WAIT_S)
        wait_until(lambda: read_balance(client).published == 76, what="the others are published")
        assert run_cli("status", environment=environment).returncode == 0
        emitter.emit_many([Moody(user_id=user, mode="permanent", number=number) for number in range(24)])
        emitter.flush(WAIT_S)
        emitter.close()
        wait_until(lambda: read_balance(client).dead == 24, what="a quarter dies")
        status = run_cli("status", environment=environment)
        assert status.returncode == 1
        assert "24 of 100 events that ended in the last" in status.stdout
        page = AppClient(create_ops_app(settings, registry))
        assert page.get("/health/ready").status_code == 503
        assert "bridge_recent_dead_share 0.24" in page.get("/metrics").text
