"""check --connect does once what each process will do: what would stop the bridge is one sentence and exit code 1."""

import subprocess
from pathlib import Path

import pytest
import redis
from kombu import Connection, Queue

from bridge.local.redis_server import free_port
from tests.support.processes import run_cli
from tests.support.redis_servers import running_redis
from tests.support.sentinels import MASTER, running_sentinels

SECRET = "hunter2hunter2"


def check(*options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    done = run_cli("check", "--connect", *options, environment=environment)
    assert "Traceback" not in done.stderr + done.stdout
    assert SECRET not in done.stderr + done.stdout
    return done


def assert_refused(done: "subprocess.CompletedProcess[str]", *parts: str) -> None:
    assert done.returncode == 1, done
    for part in parts:
        assert part in done.stderr, done.stderr
    for line in done.stderr.splitlines():
        assert line.startswith("✗ ")


def test_a_sound_redis_passes_and_nothing_is_left_there(redis_url: str, redis_client: redis.Redis) -> None:
    done = check(BRIDGE_BROKER_URL=redis_url)
    assert (done.returncode, done.stderr) == (0, "")
    for process in ("producer", "worker", "gateway", "ops"):
        assert f"✓ {process}: the servers let it do all that it does." in done.stdout
    assert redis_client.keys() == []


def test_two_servers_and_a_prefix_pass_and_nothing_is_left_there(tmp_path: Path, redis_url: str) -> None:
    with running_redis(tmp_path, "--appendonly", "yes") as store:
        environment = {"BRIDGE_BROKER_URL": redis_url[:-1] + "2", "BRIDGE_REDIS_URL": store[:-1] + "3"}
        done = check(**environment, BRIDGE_PREFIX="staging:", BRIDGE_BROKER_KEYPREFIX="jobs:")
        assert (done.returncode, done.stderr) == (0, "")
        for url in environment.values():
            with redis.Redis.from_url(url) as client:
                assert client.keys() == []


def test_what_the_books_hold_stays_as_it_is(redis_url: str, redis_client: redis.Redis) -> None:
    redis_client.hset("bridge:counts", "accepted", 5)
    redis_client.lpush("bridge.import", "x")
    redis_client.hset("unacked", "tag", "y")
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    assert check(BRIDGE_BROKER_URL=redis_url).returncode == 0
    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before


def test_a_unix_socket_passes(tmp_path: Path, redis_url: str) -> None:
    with running_redis(tmp_path, "--unixsocket", "{folder}/r.sock", url="unix://{folder}/r.sock?db=3") as socket:
        done = check(BRIDGE_BROKER_URL=redis_url, BRIDGE_REDIS_URL=socket)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_master_behind_sentinels_passes(tmp_path: Path) -> None:
    with running_redis(tmp_path) as master:
        with redis.Redis.from_url(master) as client:
            port = client.connection_pool.connection_kwargs["port"]
        with running_sentinels(tmp_path, port) as sentinels:
            done = check(BRIDGE_BROKER_URL=sentinels.url, BRIDGE_BROKER_SENTINEL_MASTER=MASTER)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_node_of_a_cluster_is_refused(tmp_path: Path) -> None:
    with running_redis(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as node:
        assert_refused(check(BRIDGE_BROKER_URL=node), "Redis Cluster", "the bridge needs one Redis")


@pytest.mark.parametrize("read_only", ["yes", "no"])
def test_a_replica_is_refused(tmp_path: Path, redis_url: str, read_only: str) -> None:
    port = redis_url.rpartition(":")[2].partition("/")[0]
    options = ("--replicaof", f"127.0.0.1 {port}", "--replica-read-only", read_only)
    with running_redis(tmp_path, *options) as replica:
        assert_refused(check(BRIDGE_BROKER_URL=replica), "is a replica")
        assert_refused(check(BRIDGE_BROKER_URL=redis_url, BRIDGE_REDIS_URL=replica), "is a replica")


def test_a_full_redis_is_refused(tmp_path: Path) -> None:
    with running_redis(tmp_path, "--maxmemory", "100kb") as full:
        assert_refused(check(BRIDGE_BROKER_URL=full), "OOM", "raise its maxmemory")


def test_a_redis_that_may_evict_is_a_warning(tmp_path: Path) -> None:
    with running_redis(tmp_path, "--maxmemory-policy", "allkeys-lru") as evicting:
        done = check(BRIDGE_BROKER_URL=evicting)
    assert done.returncode == 0
    assert "! redis: maxmemory-policy is allkeys-lru" in done.stdout


def test_a_wrong_password_is_refused_and_not_shown(tmp_path: Path) -> None:
    with running_redis(tmp_path, "--requirepass", "right") as server:
        for url in (
            server,
            server.replace("redis://", f"redis://:{SECRET}@"),
            f"{server}?password={SECRET}",
            server.replace("redis://", f"redis://{SECRET}@"),
        ):
            assert_refused(check(BRIDGE_BROKER_URL=url), "password")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("protocol=2", "sets protocol, which the bridge chooses itself"),
        ("protocol=3", "sets protocol, which the bridge chooses itself"),
        ("decode_responses=True", "sets decode_responses, which the bridge chooses itself"),
        ("socket_timeout=soon", "Invalid value for 'socket_timeout'"),
        ("sokcet_timeout=5", "has an option that redis-py does not know"),
        ("socket_timeout=5&client_name=x", "has after the ? (socket_timeout, client_name)"),
        (f"username=default&password={SECRET}", "password"),
    ],
)
def test_an_option_that_cannot_work_is_refused(redis_url: str, option: str, said: str) -> None:
    assert_refused(check(BRIDGE_BROKER_URL=f"{redis_url}?{option}"), said)


def test_tls_on_one_side_only_is_told(tmp_path: Path, redis_url: str) -> None:
    assert_refused(check(BRIDGE_BROKER_URL=redis_url.replace("redis://", "rediss://")), "speaks no TLS")


def test_a_server_that_is_not_there_is_refused() -> None:
    assert_refused(check(BRIDGE_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0"), "cannot be used", "refused")


def test_a_process_is_judged_with_what_it_needs(redis_url: str) -> None:
    assert_refused(check("--for", "gateway", BRIDGE_BROKER_URL=redis_url), "✗ gateway:", "BRIDGE_JWT_SECRET")
    assert_refused(check("--for", "ops", BRIDGE_BROKER_URL=redis_url), "✗ ops:", "BRIDGE_OPS_TOKEN")
    assert check("--for", "gateway", BRIDGE_BROKER_URL=redis_url, BRIDGE_GATEWAY_DEV="1").returncode == 0
    assert check("--for", "ops", BRIDGE_BROKER_URL=redis_url, BRIDGE_OPS_TOKEN="x" * 20).returncode == 0
    assert check("--for", "producer", BRIDGE_BROKER_URL=redis_url, BRIDGE_GATEWAY_PORT="x").returncode == 0
    assert check("--for", "gateway", BRIDGE_BROKER_URL=redis_url, BRIDGE_GATEWAY_PORT="x").returncode == 2


def test_a_spool_that_cannot_be_written_is_refused(redis_url: str) -> None:
    done = check("--for", "producer", BRIDGE_BROKER_URL=redis_url, BRIDGE_SPOOL_DIR="/proc/spool")
    assert_refused(done, "✗ producer:", "/proc")


def test_rabbitmq_passes_and_a_queue_of_another_form_does_not(amqp_url: str, redis_url: str) -> None:
    environment = {"BRIDGE_BROKER_URL": amqp_url, "BRIDGE_REDIS_URL": redis_url}
    done = check(**environment)
    assert (done.returncode, done.stderr) == (0, "")
    with Connection(amqp_url) as connection:
        Queue("bridge.import", queue_arguments={"x-queue-type": "classic"})(connection.channel()).declare()
        Queue("bridge.ai", queue_arguments={"x-queue-type": "quorum", "x-max-length": 5})(
            connection.channel()
        ).declare()
    for process in ("producer", "worker"):
        done = check("--for", process, **environment)
        assert_refused(done, "the queue bridge.import", "the queue bridge.ai", "PRECONDITION_FAILED")
    wrong = amqp_url.replace("guest:guest", f"guest:{SECRET}")
    assert_refused(check(**{**environment, "BRIDGE_BROKER_URL": wrong}), "cannot be used", "password")
