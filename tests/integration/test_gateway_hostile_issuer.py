"""Whatever an issuer sends instead of its keys costs little, is said and counted, and keeps no process from ending."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bridge.gateway.jwks import FETCH_TIMEOUT_S
from bridge.model.bounds import KEY_SET_BYTES_MAX, SIGNING_KEYS_MAX
from bridge.settings import Settings
from tests.support.processes import run_cli
from tests.support.streams import Served, Stream

KEY = ec.generate_private_key(ec.SECP256R1())
JWK = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())), "kid": "k1"}

Answer = Callable[[BaseHTTPRequestHandler], None]


def body(content: bytes, *, status: int = 200, **headers: str) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return send


def key_set(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def without_end(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100 * KEY_SET_BYTES_MAX // 2**16):
        handler.wfile.write(b" " * 2**16)
        handler.server.sent += 2**16  # type: ignore[attr-defined]


def drop_by_drop(handler: BaseHTTPRequestHandler, start: bytes, drop: bytes) -> None:
    handler.wfile.write(start)
    while not handler.server.ending.wait(0.2):  # type: ignore[attr-defined]
        handler.wfile.write(drop)


HOSTILE: dict[str, Answer] = {
    "no end": without_end,
    "body by drops": lambda handler: drop_by_drop(handler, b"HTTP/1.0 200 OK\r\n\r\n", b" "),
    "headers by drops": lambda handler: drop_by_drop(handler, b"HTTP/1.0 200 OK\r\n", b"X: y\r\n"),
    "a status by drops": lambda handler: drop_by_drop(handler, b"H", b"T"),
    "nesting": body(b'{"keys":' + b"[" * 100_000),
    "a list": body(b"[]"),
    "no keys": body(b'{"keys": 5}'),
    "no JSON": body(b"\xff\xfe<html>"),
    "nothing": body(b""),
    "half": body(key_set(JWK)[:40]),
    "an error": body(b"no", status=500),
    "a redirect": body(b"", status=302, Location="/elsewhere"),
    "odd keys only": body(key_set(5, None, [], {"kty": [1]}, {"kty": "RSA", "n": 5, "e": []})),
}
HARMLESS: dict[str, Answer] = {
    "a key id that is none beside it": body(key_set({**JWK, "kid": ["a"]}, {**JWK, "kid": {"a": 1}}, JWK)),
    "too many keys behind it": body(key_set(JWK, *({**JWK, "kid": f"n{n}"} for n in range(SIGNING_KEYS_MAX * 10)))),
    "junk beside it": body(key_set(5, {"kty": "RSA"}, {**JWK, "alg": ["ES256"]}, {**JWK, "kid": 5}, JWK)),
}


class _Issuer(ThreadingHTTPServer):
    daemon_threads = True
    sent = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Being hung up on is what it is here for."""


@contextmanager
def issuer(answer: Answer) -> Iterator[tuple[_Issuer, str]]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (body(key_set(JWK)) if self.path == "/elsewhere" else answer)(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with _Issuer(("127.0.0.1", 0), Handler) as server:
        server.ending = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server, f"http://127.0.0.1:{server.server_port}/jwks.json"
        server.ending.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def bearer(key_id: str = "k1") -> str:
    claims = {"sub": str(uuid4()), "exp": int(time.time()) + 600}
    return f"Bearer {jwt.encode(claims, KEY, 'ES256', headers={'kid': key_id})}"


@pytest.mark.parametrize("kind", HOSTILE)
async def test_no_keys_mean_later_and_are_said_and_counted(
    redis_url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with issuer(HOSTILE[kind]) as (server, url), Served(Settings(broker_url=redis_url, jwt_jwks_url=url)) as served:
        async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_S * 10) as client:
            stream = await Stream(served.url, uuid4(), Authorization=bearer()).open(client, live=False)
            assert stream.response is not None and stream.response.status_code == 503
        assert served.state.counters.keys_not_fetched == 1
        assert server.sent < 16 * KEY_SET_BYTES_MAX, "what it sends is not read to the end"
    (said,) = [one.getMessage() for one in caplog.records if "keys_not_fetched" in one.getMessage()]
    assert said.partition(": ")[2], said


@pytest.mark.parametrize("kind", HARMLESS)
async def test_what_stands_beside_a_key_does_not_spoil_it(redis_url: str, kind: str) -> None:
    with issuer(HARMLESS[kind]) as (_, url), Served(Settings(broker_url=redis_url, jwt_jwks_url=url)) as served:
        async with httpx.AsyncClient() as client:
            stream = await Stream(served.url, uuid4(), Authorization=bearer()).open(client)
            await stream.close()
            late = await Stream(served.url, uuid4(), Authorization=bearer(f"n{SIGNING_KEYS_MAX}")).open(
                client, live=False
            )
            assert late.response is not None and late.response.status_code == 401


def test_check_asks_the_issuer_as_the_gateway_does(redis_url: str) -> None:
    def check(answer: Answer) -> tuple[int, str]:
        with issuer(answer) as (_, url):
            environment = {"BRIDGE_BROKER_URL": redis_url, "BRIDGE_JWT_JWKS_URL": url, "BRIDGE_GATEWAY_DEV": "0"}
            done = run_cli("check", "--connect", "--for", "gateway", environment=environment)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr

    assert check(body(key_set(JWK)))[0] == 0
    for kind in ("no JSON", "an error", "no end"):
        code, said = check(HOSTILE[kind])
        assert (code, "gives no keys" in said) == (1, True), said


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/keys", "keys.json", "https://", "https:///x"])
def test_an_address_that_is_none_is_refused_in_one_sentence(url: str) -> None:
    done = run_cli("check", "--for", "gateway", environment={"BRIDGE_JWT_JWKS_URL": url, "BRIDGE_GATEWAY_DEV": "0"})
    assert done.returncode == 2
    assert "BRIDGE_JWT_JWKS_URL must be an address" in done.stderr
    assert "Traceback" not in done.stderr
