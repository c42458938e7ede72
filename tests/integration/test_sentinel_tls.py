"""Sentinels and their master over TLS, with certificates that are checked: from the command to the browser."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.local.redis_server import free_port
from tests.support.gateway import Listener, running_gateway
from tests.support.needs import needs_program
from tests.support.processes import run_cli
from tests.support.sentinels import MASTER
from tests.support.waiting import PROCESS_TIMEOUT_S, wait_until
from tests.support.worker import running_worker


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bridge test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret


@contextmanager
def running(folder: Path, port: int, tls: str, rest: str, *options: str) -> Iterator[None]:
    """A server that speaks TLS alone."""
    folder.mkdir()
    configuration = folder / "redis.conf"
    configuration.write_text(f"port 0\ntls-port {port}\nbind 127.0.0.1\ndir {folder}\n{tls}{rest}")
    with (folder / "log").open("wb") as log:
        command = [needs_program("redis-server"), str(configuration), *options]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait(PROCESS_TIMEOUT_S)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of a process of the bridge that trusts the certificate."""
    certificate, key = make_certificate(tmp_path)
    tls = (
        f"tls-cert-file {certificate}\ntls-key-file {key}\ntls-ca-cert-file {certificate}\n"
        "tls-auth-clients no\ntls-replication yes\n"
    )
    master, sentinel = free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(running(tmp_path / "master", master, tls, "save ''\n"))
        watch = f"sentinel monitor {MASTER} 127.0.0.1 {master} 1\n"
        stack.enter_context(running(tmp_path / "sentinel", sentinel, tls, watch, "--sentinel"))
        asked = redis.Redis("127.0.0.1", sentinel, ssl=True, ssl_ca_certs=str(certificate), decode_responses=True)
        stack.callback(asked.close)
        wait_until(lambda: _flags(asked) == "master", what="the sentinel reaches the master")
        yield {
            "BRIDGE_BROKER_URL": f"sentinel://127.0.0.1:{sentinel}/0",
            "BRIDGE_BROKER_SENTINEL_MASTER": MASTER,
            "BRIDGE_SENTINEL_TLS": "1",
            "BRIDGE_REGISTRY": "tests.support.moody_catalog:registry",
            "SSL_CERT_FILE": str(certificate),
        }


def _flags(sentinel: redis.Redis) -> str:
    try:
        found = sentinel.execute_command("SENTINEL", "MASTER", MASTER)
    except redis.RedisError:
        return ""
    fields = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
    return str(fields["flags"])


def emit(environment: dict[str, str], user: object) -> subprocess.CompletedProcess[str]:
    return run_cli("emit", "Moody", json.dumps({"user_id": str(user), "mode": "ok"}), environment=environment)


def test_events_travel_over_tls_from_the_command_to_the_browser(tmp_path: Path, environment: dict[str, str]) -> None:
    user = uuid4()
    moody = {**environment, "MOODY_DIR": str(tmp_path)}
    with running_worker(tmp_path, moody), running_gateway(tmp_path, environment) as url:
        listener = Listener(url, user)
        sent = emit(environment, user)
        assert sent.returncode == 0, sent.stderr
        wait_until(lambda: listener.events, what="the event reaches the browser")
        audit = run_cli("audit", "--grace", "0", environment=environment)
        assert audit.returncode == 0, audit


def test_a_certificate_that_nobody_vouches_for_is_refused_in_one_sentence(environment: dict[str, str]) -> None:
    for doubtful in (
        {name: value for name, value in environment.items() if name != "SSL_CERT_FILE"},
        environment | {"BRIDGE_SENTINEL_TLS": "0"},
    ):
        refused = emit(doubtful, uuid4())
        assert refused.returncode == 1
        assert "Traceback" not in refused.stderr
        assert "did not take event" in refused.stderr
