"""Fixtures for all suites: one real server for the session, an empty database for each test."""

import fcntl
import functools
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Set
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import hypothesis
import pytest
import redis
from hypothesis.internal.conjecture import providers

from bridge.local.redis_server import EmbeddedServer
from bridge.settings import Settings
from tests.support.databases import Database, end_shared_databases, new_database
from tests.support.naming import shown
from tests.support.rabbitmq import RabbitMQ, end_shared_server, shared_server
from tests.support.streams import Source

# A shell's background job is started with these ignored. What tests start would inherit it, and never hear of an
# operator's Ctrl-C or of the end that is asked of a worker.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# Hundreds of processes import the bridge, and so many compilations take minutes. `make clean` removes what they leave.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long hypothesis' examples take says nothing on a machine that is busy.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


# It would read all of the world's certificates anew for each of thousands of clients, 20 ms of a processor each.
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)

LONGEST = (
    "test_worker_rabbitmq_alarms", "test_ops_health", "test_bank_demo_page", "test_cli_up", "test_django_app",
    "test_producer_imports", "test_worker_rabbitmq_queues", "test_ops_page", "test_worker_outages",
    "test_catalog_loading", "test_store_wrong_keys", "test_producer_liveness", "test_outside_messages",
    "test_redrive_whole_messages_rabbitmq", "test_worker_rabbitmq", "test_foreign_producer", "test_rules_for_change",
    "test_incident", "test_proxies", "test_cli_output", "test_ops_page_absurd", "test_operations_commands",
    "test_worker_bundles", "test_check_rights", "test_gateway_hostile_issuer", "test_operations_audit",
    "test_worker_outcomes", "test_event_source", "test_side_by_side", "test_redrive_interrupted",
    "test_inputs_in_proportion", "test_gateway_faults", "test_producer_interrupted_end", "test_two_bridges",
    "test_ops_metrics", "test_words", "test_own_celery", "test_own_celery_team",
)  # fmt: skip
"""The files that begin first, since a file runs in one process and the last one to end is waited for."""

SHARED_FOLDER = "TESTS_SHARED_FOLDER"
"""The variable that names the folder of what the processes of a run share."""


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Keeps the order but for the longest files."""
    with pytest.MonkeyPatch.context() as patch:
        # hypothesis would look for constants in each of our modules, in each process; its first test does so anyway.
        patch.setattr(providers, "_get_local_constants", lambda: None)
        yield
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, object, object]:
    """Lets one process of a run compile a file of tests; the others would do it in the same moment, and each again."""
    made = f"{collector.path.stem}.{sys.implementation.cache_tag}-pytest-{pytest.__version__}.pyc"
    if not isinstance(collector, pytest.Module) or (collector.path.parent / "__pycache__" / made).exists():
        return (yield)
    with (Path(os.environ[SHARED_FOLDER]) / f"{collector.path.stem}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: no process looks through it for garbage, now or later."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


def pytest_configure(config: pytest.Config) -> None:
    """Before any process of the run begins."""
    if not hasattr(config, "workerinput"):
        os.environ[SHARED_FOLDER] = tempfile.mkdtemp(prefix="bridge-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """After all of them have ended."""
    if not hasattr(config, "workerinput"):
        folder = Path(os.environ.pop(SHARED_FOLDER))
        end_shared_server(folder)
        end_shared_databases(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    """A real server that all tests of a session share."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedServer) -> Iterator[str]:
    """The address of an empty database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    yield redis_server.url


@pytest.fixture
def settings(redis_url: str) -> Settings:
    """Default settings on an empty database."""
    return Settings(broker_url=redis_url)


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A plain client, to look at what the bridge left behind."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def user() -> UUID:
    """Somebody new."""
    return uuid4()


@pytest.fixture
def source(settings: Settings) -> Iterator[Source]:
    """Publishes events as a worker does."""
    source = Source(settings)
    yield source
    source.close()


@pytest.fixture(scope="session")
def rabbitmq_server() -> RabbitMQ:
    """A broker that all tests share, those of other processes of this run, too: to start it is ten seconds' work."""
    return shared_server(Path(os.environ[SHARED_FOLDER]))


@pytest.fixture
def make_database(tmp_path: Path) -> Callable[[str], Database]:
    """Makes empty databases of a kind (``KINDS``); the server of each kind is shared by all processes of this run."""
    return lambda kind: new_database(kind, Path(os.environ[SHARED_FOLDER]), tmp_path)


@pytest.fixture(scope="module")
def module_database(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Database]:
    """The database of a kind that the tests of a module share, one after the other: ``Outbox`` makes its table anew."""
    shared = Path(os.environ[SHARED_FOLDER])
    return functools.cache(lambda kind: new_database(kind, shared, tmp_path_factory.mktemp(kind)))


@pytest.fixture(scope="module")
def rabbitmq(rabbitmq_server: RabbitMQ) -> RabbitMQ:
    """That broker, with a virtual host of the module's own."""
    return rabbitmq_server.with_a_new_host()


@pytest.fixture(scope="module")
def amqp_url(rabbitmq: RabbitMQ) -> str:
    """The address of a virtual host of the module's own."""
    return rabbitmq.url


def pytest_make_parametrize_id(val: object) -> str | None:
    """A parameter's name, unless its test gives one: the same in every process."""
    return shown(val) if isinstance(val, UUID | Set | Mapping | list | tuple) else None
