"""Tokens of an issuer whose public keys are fetched over HTTP."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bridge.local.redis_server import free_port
from bridge.settings import Settings
from tests.support.streams import Served, Stream

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def issuer() -> Iterator[str]:
    document = {"keys": [{**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())), "kid": "k1"}]}

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks.json"
        server.shutdown()
        thread.join()


def signed(key_id: str) -> str:
    claims = {"sub": str(uuid4()), "exp": int(time.time()) + 60}
    return f"Bearer {jwt.encode(claims, KEY, 'ES256', headers={'kid': key_id})}"


async def test_a_token_of_the_issuer_opens_a_stream(redis_url: str, issuer: str) -> None:
    with Served(Settings(broker_url=redis_url, jwt_jwks_url=issuer)) as served:
        async with httpx.AsyncClient() as client:
            stream = await Stream(served.url, uuid4(), Authorization=signed("k1")).open(client)
            await stream.close()
            stranger = await Stream(served.url, uuid4(), Authorization=signed("k2")).open(client, live=False)
            assert stranger.response is not None and stranger.response.status_code == 401


async def test_an_issuer_that_is_away_means_later_not_never(redis_url: str) -> None:
    away = f"http://127.0.0.1:{free_port()}/jwks.json"
    with Served(Settings(broker_url=redis_url, jwt_jwks_url=away)) as served:
        async with httpx.AsyncClient() as client:
            stream = await Stream(served.url, uuid4(), Authorization=signed("k1")).open(client, live=False)
            assert stream.response is not None and stream.response.status_code == 503
            assert "retry-after" in stream.response.headers
