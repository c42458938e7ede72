"""The demo's web side: only for this machine, only for its own page, and nothing a browser could be tricked with."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from bridge.local.redis_server import free_port
from bridge.settings import Settings
from examples.bank_demo.app import create_demo, describe_device
from examples.bank_demo.ledger import Job, Ledger
from examples.bank_demo.plan import DemoPlan
from examples.bank_demo.reading import SIZE_MAX_BYTES

PAGE = Path(__file__).resolve().parents[2] / "examples" / "bank_demo" / "page"
HERE = "http://127.0.0.1:8000"


@pytest.fixture
def plan(tmp_path: Path) -> DemoPlan:
    return DemoPlan(user_id=UUID(int=7), ledger=str(tmp_path / "ledger.sqlite3"), statement="/somewhere/may.ofx")


class Browser:
    """Asks the demo, from an address of this machine or of another."""

    def __init__(self, plan: DemoPlan, address: str, base_url: str) -> None:
        settings = Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0")
        self._transport = httpx.ASGITransport(create_demo(settings, plan, lambda: 3), client=(address, 5))
        self._base_url = base_url

    def get(self, path: str) -> httpx.Response:
        return asyncio.run(self._ask("GET", path))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, **options))

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url=self._base_url) as client:
            return await client.request(method, path, **options)


def client(plan: DemoPlan, address: str = "127.0.0.1", base_url: str = HERE) -> Browser:
    return Browser(plan, address, base_url)


def next_job(plan: DemoPlan) -> Job | None:
    with closing(Ledger(plan.ledger)) as ledger:
        return ledger.take()


def test_the_page_may_load_nothing_from_elsewhere(plan: DemoPlan) -> None:
    answer = client(plan).get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", sorted(path for path in PAGE.iterdir()), ids=lambda path: path.name)
def test_every_asset_is_served_and_sets_text_only_as_text(plan: DemoPlan, path: Path) -> None:
    assert client(plan).get(f"/demo/page/{path.name}").status_code == 200
    text = path.read_text(encoding="utf-8")
    for trap in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", "onclick="):
        assert trap not in text
    assert "https://" not in text


def test_the_snapshot_names_user_types_and_accounts(plan: DemoPlan) -> None:
    state = client(plan).get("/demo/state").json()
    assert state["user_id"] == str(plan.user_id)
    assert state["types"]["import.progress"] == "import"
    assert state["accounts"] == []


def test_the_journey_is_told_as_far_as_it_is_known_while_redis_is_away(plan: DemoPlan) -> None:
    journey = client(plan).get("/demo/journey").json()
    assert journey == {"emitted": 0, "queued": None, "published": None, "kept": None, "clients": 3}


def test_the_page_itself_may_ask_for_imports(plan: DemoPlan) -> None:
    page = client(plan)
    answer = page.post("/demo/import?name=../a<b>.csv", content=b"Date,Amount", headers={"origin": HERE})
    assert answer.status_code == 202
    job = next_job(plan)
    assert job is not None
    assert (job.name, job.content) == (".._a_b_.csv", b"Date,Amount")


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:9000", "https://127.0.0.1:8000"]
)
def test_no_other_page_may_ask_for_anything(plan: DemoPlan, origin: str | None) -> None:
    headers = {"origin": origin} if origin else {}
    for path in ("/demo/import", "/demo/session"):
        assert client(plan).post(path, headers=headers).status_code == 403
    assert next_job(plan) is None


def test_no_other_machine_and_no_rebound_name_is_answered(plan: DemoPlan) -> None:
    assert client(plan, address="192.0.2.7").get("/demo/state").status_code == 403
    assert client(plan, base_url="http://evil.example:8000").get("/demo/state").status_code == 403
    assert client(plan, base_url="http://localhost:8000").get("/demo/state").status_code == 200


def test_a_file_that_is_too_large_and_too_many_imports_are_refused(plan: DemoPlan) -> None:
    page = client(plan)
    headers = {"origin": HERE}
    assert page.post("/demo/import", content=b"x" * (SIZE_MAX_BYTES + 1), headers=headers).status_code == 413
    answers = [page.post("/demo/import", headers=headers).status_code for _ in range(25)]
    assert answers[0] == 202
    assert answers[-1] == 429


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("<script>", "A browser on an unknown system"),
    ],
)
def test_a_device_is_described_in_known_words_only(agent: str, device: str) -> None:
    assert describe_device(agent) == device
