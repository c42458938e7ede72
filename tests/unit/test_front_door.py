"""What `import bridge` brings into a producer's process: what emitting needs, and nothing else."""

import subprocess
import sys

import pytest

import bridge
import bridge.catalogs.finance
import bridge.gateway
import bridge.model.events
import bridge.model.pipeline
import bridge.operations
import bridge.producer
import bridge.redis_adapter
import bridge.wiring
from tests.support.waiting import PROCESS_TIMEOUT_S

FOREIGN = {"celery", "kombu", "starlette", "uvicorn", "jwt", "click", "rich", "sqlite3", "prometheus_client", "jinja2"}
OURS = {
    "bridge.worker",
    "bridge.gateway",
    "bridge.ops",
    "bridge.cli",
    "bridge.operations",
    "bridge.local",
    "bridge.celery_runtime",
    "bridge.amqp_adapter",
    "bridge.catalogs.finance.catalog",
    "bridge.model.registry.faults",
    "bridge.redis_adapter.dead_letters",
    "bridge.redis_adapter.retry_queue",
    "bridge.model.pipeline.pipeline",
}


def test_importing_the_front_door_loads_nothing_that_emitting_does_not_need() -> None:
    program = "import sys, bridge; bridge.emit, bridge.Emitter, bridge.configure; print('\\n'.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=PROCESS_TIMEOUT_S
    )
    assert (FOREIGN | OURS).intersection(loaded.stdout.split()) == set()


@pytest.mark.parametrize(
    "package",
    [
        bridge,
        bridge.catalogs.finance,
        bridge.model.events,
        bridge.model.pipeline,
        bridge.operations,
        bridge.producer,
        bridge.redis_adapter,
        bridge.wiring,
    ],
    ids=lambda package: package.__name__,
)
def test_every_name_that_a_package_offers_is_there_when_it_is_asked_for(package) -> None:
    for name in package.__all__:
        assert getattr(package, name) is getattr(package, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_what_only_a_type_checker_imports_from_elsewhere_is_not_offered() -> None:
    assert "on_demand" not in bridge.wiring.__all__
    with pytest.raises(AttributeError, match="no attribute 'Starlette'"):
        _ = bridge.gateway.Starlette
