"""Who is being asked about while its user signs out somewhere is sent away for a moment, and then asked about anew."""

import asyncio

import httpx
import redis

from bridge.gateway import AuthRequest, Principal
from bridge.operations import end_streams
from bridge.settings import Settings
from bridge.wiring import open_store
from tests.support.gateway import EVENTS_PATH
from tests.support.identities import numbers
from tests.support.streams import Served
from tests.support.waiting import PROCESS_TIMEOUT_S, WAIT_S


class Members:
    """An authenticator; while it is asked first, the user signs out of another browser."""

    def __init__(self, settings: Settings) -> None:
        self.gateway: Served
        self._settings: Settings | None = settings

    async def identify(self, _: AuthRequest) -> Principal:
        if settings := self._settings:
            self._settings = None
            await asyncio.to_thread(self._sign_out, settings)
            async with asyncio.timeout(WAIT_S):
                while not self.gateway.state._withdrawals._ended:  # noqa: ASYNC110  (has no event)
                    await asyncio.sleep(0.01)
        return Principal(user=7, issued_at=1.0)

    def _sign_out(self, settings: Settings) -> None:
        with open_store(settings) as store:
            assert end_streams(store, numbers, 7) == 1


async def test_a_browser_that_is_signed_in_still_is_told_to_come_again(
    redis_url: str, redis_client: redis.Redis
) -> None:
    settings = Settings(broker_url=redis_url)
    members = Members(settings)
    with Served(settings, registry=numbers, authenticator=members) as gateway:
        members.gateway = gateway
        async with httpx.AsyncClient(timeout=PROCESS_TIMEOUT_S) as client:
            answer = await client.head(gateway.url + EVENTS_PATH)
            assert answer.status_code == 503 and float(answer.headers["Retry-After"]) > 0
            assert (await client.head(gateway.url + EVENTS_PATH)).status_code == 200
    assert not redis_client.exists("sse:withdrawals")
