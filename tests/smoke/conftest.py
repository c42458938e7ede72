"""A cluster of containers by pytest-celery: each broker in turn, a Redis as the store, and a worker of our own image.

What pytest-celery calls the result backend is the bridge's store here: Celery keeps no results, and the bridge
keeps its streams and books there.
"""

import os
import subprocess
from pathlib import Path

import docker
import pytest
from celery import Celery
from pytest_celery import (
    CELERY_RABBITMQ_BROKER,
    CELERY_REDIS_BROKER,
    CeleryTestBackend,
    CeleryTestBroker,
    CeleryTestContainer,
    CeleryWorkerContainer,
)
from pytest_docker_tools import build, container, fxtr

from bridge.catalogs.finance.catalog import REGISTRY
from bridge.settings import Settings
from bridge.worker import create_app

ROOT = Path(__file__).parents[2]
IMAGES_TIMEOUT_S = 600


@pytest.fixture(scope="session", autouse=True)
def docker_engine() -> None:
    """Without an engine: skipped on a laptop, a failure in CI."""
    try:
        docker.from_env().ping()
    except docker.errors.DockerException as error:
        missing = f"no Docker engine answers: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="session")
def base_images(docker_engine: None) -> dict[str, str]:
    """The images that ours and the brokers' containers are made of."""
    answer = subprocess.run(
        [Path(__file__).with_name("images.sh")], stdout=subprocess.PIPE, text=True, timeout=IMAGES_TIMEOUT_S, check=True
    )
    return dict(line.split("=", 1) for line in answer.stdout.split())


@pytest.fixture(scope="session")
def python_image(base_images: dict[str, str]) -> str:
    return base_images["python"]


@pytest.fixture(params=[CELERY_REDIS_BROKER, CELERY_RABBITMQ_BROKER])
def celery_broker(request: pytest.FixtureRequest) -> CeleryTestBroker:
    """Each broker in turn; pytest-celery's own list comes in any order."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def default_redis_broker_image(base_images: dict[str, str]) -> str:
    return base_images["redis"]


@pytest.fixture
def default_redis_backend_image(base_images: dict[str, str]) -> str:
    return base_images["redis"]


@pytest.fixture
def default_rabbitmq_broker_image(base_images: dict[str, str]) -> str:
    return base_images["rabbitmq"]


class WorkerContainer(CeleryWorkerContainer):
    """Runs what the image says, on the registry's queues."""

    @classmethod
    def worker_name(cls) -> str:
        return "celery"


celery_base_worker_image = build(
    path=str(ROOT), tag="sse-bridge:smoke", buildargs={"PYTHON_IMAGE": fxtr("python_image")}
)

default_worker_container = container(
    image="{celery_base_worker_image.id}",
    environment=fxtr("default_worker_env"),
    network="{default_pytest_celery_network.name}",
    wrapper_class=WorkerContainer,
    timeout=60,
)


@pytest.fixture
def default_worker_container_cls() -> type[CeleryWorkerContainer]:
    return WorkerContainer


@pytest.fixture
def default_worker_env(celery_worker_cluster_config: dict) -> dict[str, str]:
    """Addresses as the worker's container sees them."""
    return {
        "BRIDGE_BROKER_URL": celery_worker_cluster_config["celery_broker_cluster_config"]["urls"][0],
        "BRIDGE_REDIS_URL": celery_worker_cluster_config["celery_backend_cluster_config"]["urls"][0],
    }


@pytest.fixture
def settings(celery_broker: CeleryTestBroker, celery_backend: CeleryTestBackend) -> Settings:
    """Addresses as this machine sees them: it plays the producer."""
    return Settings(broker_url=_address(celery_broker.container), redis_url=_address(celery_backend.container))


@pytest.fixture
def celery_setup_app(settings: Settings) -> Celery:
    """The bridge's own app, so that inspection speaks to the worker as an operator would."""
    return create_app(settings, REGISTRY)


def _address(node: CeleryTestContainer) -> str:
    """As ``host_url``, but true as well where these tests run in a container themselves."""
    [port] = type(node).ports()
    host, number = node.get_addr(port)
    return f"{node.prefix()}{host}:{number}/{node.vhost}"
