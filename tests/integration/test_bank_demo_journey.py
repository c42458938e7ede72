"""The demo's figures, asked of a real Redis: of this run alone, and no station ahead of the one before it."""

from contextlib import closing
from pathlib import Path
from uuid import UUID

import httpx
import redis

from bridge import User
from bridge.settings import Settings
from examples.bank_demo.app import create_demo
from examples.bank_demo.ledger import Ledger
from examples.bank_demo.plan import DemoPlan
from tests.support import keys

USER = UUID(int=7)


async def test_the_journey_counts_this_run_and_not_what_redis_kept_of_earlier_ones(
    tmp_path: Path, settings: Settings, redis_client: redis.Redis
) -> None:
    plan = DemoPlan(user_id=USER, ledger=str(tmp_path / "ledger.sqlite3"), statement="/somewhere/may.ofx")
    redis_client.hset(keys.COUNTS, "published", 315)
    demo = httpx.ASGITransport(create_demo(settings, plan, lambda: 1), client=("127.0.0.1", 5))
    redis_client.hincrby(keys.COUNTS, "published", 2)
    event = {"event_id": str(USER), "event_type": "import.failed", "occurred_at": "2026-01-01T00:00:00+00:00"}
    redis_client.xadd(keys.stream(User(USER)), {**event, "data": '{"file_name": "may.csv"}'})
    with closing(Ledger(plan.ledger)) as ledger:
        ledger.note_counts({"accepted": 3})
    async with httpx.AsyncClient(transport=demo, base_url="http://127.0.0.1:8000") as page:
        journey = (await page.get("/demo/journey")).json()
        [recent] = (await page.get("/demo/state")).json()["recent"]
    assert journey == {"emitted": 3, "queued": 0, "published": 2, "kept": 1, "clients": 1}
    assert recent == {"id": str(USER), "type": "import.failed", "payload": {"file_name": "may.csv"}}
