"""Users who are called by numbers or by texts: the whole journey with real processes, and what operators see of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis

from bridge import Emitter, Settings
from bridge.local.redis_server import EmbeddedServer
from tests.support import identities
from tests.support.gateway import EVENTS_PATH, Listener, running_gateway, token_for
from tests.support.processes import run_cli, running_cli
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

BIG = 2**63 - 1


@dataclass(frozen=True)
class Shop:
    """A running bridge whose users are of one kind: Alice, Bob, and what no user is called."""

    name: str
    alice: Any
    bob: Any
    nobody: str
    url: str
    gateway: str

    @property
    def environment(self) -> dict[str, str]:
        return {"BRIDGE_BROKER_URL": self.url, "BRIDGE_REGISTRY": f"tests.support.identities:{self.name}"}

    @property
    def events(self) -> dict[str, Any]:
        found: dict[str, Any] = getattr(identities, {"numbers": "by_number", "names": "by_name"}[self.name])
        return found

    def emitter(self) -> Emitter:
        return Emitter(Settings(broker_url=self.url), getattr(identities, self.name))

    def cli(self, *arguments: str) -> Any:
        """What a command printed as JSON."""
        answer = run_cli(*arguments, "--json", environment=self.environment)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)


# 0 and 1 are marks of the script that publishes; a number of 64 bits is none that a double holds.
@pytest.fixture(scope="module", params=[("numbers", BIG, 1, "alice"), ("names", 'auth0|a"l\\ice,é', "0", "a b")])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    name, alice, bob, nobody = request.param
    folder = tmp_path_factory.mktemp(name)
    with EmbeddedServer() as server:
        environment = Shop(name, alice, bob, nobody, server.url, "").environment
        with running_worker(folder, environment), running_gateway(folder, environment) as gateway:
            yield Shop(name, alice, bob, nobody, server.url, gateway)


def numbers_of(listener: Listener, count: int) -> list[int]:
    return [json.loads(event.data)["number"] for event in listener.wait_for(count)]


def test_each_user_hears_what_is_theirs_and_what_was_missed(shop: Shop) -> None:
    at_alice, at_bob = Listener(shop.gateway, shop.alice), Listener(shop.gateway, shop.bob)
    paid, news = shop.events["OrderPaid"], shop.events["ShopNews"]
    emitter = shop.emitter()
    events = [
        paid(customer=shop.alice, number=1),
        paid(customer=shop.bob, number=2),
        paid(customer=None, number=3),
        news(customer=None, number=4),
        paid(customer=shop.alice, number=5),
    ]
    for event in events:
        assert emitter.emit(event)
    assert emitter.flush(WAIT_S)
    assert sorted(numbers_of(at_alice, 3)) == [1, 4, 5]
    assert sorted(numbers_of(at_bob, 2)) == [2, 4]
    first = at_alice.events[0]
    again = Listener(shop.gateway, shop.alice, last_event_id=first.id)
    assert numbers_of(again, 2) == [json.loads(event.data)["number"] for event in at_alice.events[1:]]
    for listener in (at_alice, at_bob, again):
        listener.close()
    with redis.Redis.from_url(shop.url, decode_responses=True) as client:
        entries = client.xrange(f"sse:stream:user:{{{shop.alice}}}")
        assert {fields["user_id"] for _, fields in entries} == {str(shop.alice)}
        assert client.exists(f"sse:seen:{{{shop.alice}}}:{events[0].event_id}")
    places = shop.cli("trace", str(events[0].event_id), "--user", str(shop.alice))["places"]
    assert places == shop.cli("trace", str(events[0].event_id))["places"]
    assert [(place["place"], place["user_id"]) for place in places] == [("published", str(shop.alice))]
    emitter.close(0)


def test_what_fails_is_kept_and_found_under_its_user(shop: Shop) -> None:
    emitter = shop.emitter()
    lost = [shop.events["OrderLost"](customer=user) for user in (shop.alice, shop.alice, shop.bob)]
    late = shop.events["OrderLate"](customer=shop.bob)
    assert emitter.emit_many([*lost, late]) == 4
    assert emitter.flush(WAIT_S)
    of_alice = ("--user", str(shop.alice))
    wait_until(lambda: len(shop.cli("dead", "list")["letters"]) == 3)
    wait_until(lambda: len(shop.cli("retries", "list")["retries"]) == 1)
    letters = shop.cli("dead", "list", *of_alice)["letters"]
    assert {letter["letter_id"] for letter in letters} == {str(event.event_id) for event in lost[:2]}
    assert [group["users"] for group in shop.cli("dead", "groups")] == [2]
    hit = shop.cli("dead", "users")
    assert {one["user_id"]: one["count"] for one in hit} == {str(shop.alice): 2, str(shop.bob): 1}
    assert len(shop.cli("retries", "list", "--user", str(shop.bob))["retries"]) == 1
    assert shop.cli("retries", "list", *of_alice)["retries"] == []
    tried = run_cli("dead", "replay", *of_alice, "--dry-run", environment=shop.environment)
    assert tried.returncode == 0, tried.stderr
    assert run_cli("audit", environment=shop.environment).returncode == 0
    emitter.close(0)


def test_commands_take_and_follow_such_users(shop: Shop, tmp_path: Path) -> None:
    carol = shop.alice if shop.name == "names" else -BIG - 1
    with running_cli(
        tmp_path, "tail", "--json", "--from-start", "--", str(carol), environment=shop.environment
    ) as tail:
        answer = run_cli("emit", "OrderPaid", '{"number": 77}', "--user", str(carol), environment=shop.environment)
        assert answer.returncode == 0, answer.stderr
        tail.wait_for('"number": ?77', 60)
        assert tail.end() == 130


@pytest.mark.parametrize(
    "command",
    [("tail",), ("trace", str(uuid4()), "--user"), ("emit", "OrderPaid", "{}", "--user"), ("dead", "list", "--user")],
    ids=lambda command: command[0],
)
def test_a_user_of_another_kind_is_a_sentence(shop: Shop, command: tuple[str, ...]) -> None:
    answer = run_cli(*command, shop.nobody, environment=shop.environment)
    assert answer.returncode == 2
    assert f"{shop.nobody!r} is no user id: those are" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_gateway_refuses_a_token_for_such_a_user(shop: Shop) -> None:
    answer = httpx.get(
        shop.gateway + EVENTS_PATH, headers={"Authorization": f"Bearer {token_for(shop.nobody)}"}, timeout=WAIT_S
    )
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert "so it names no user." in answer.json()["detail"]


def test_emit_refuses_such_a_user_at_once(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    emitter = shop.emitter()
    paid = shop.events["OrderPaid"]
    wrong = [2**63, shop.nobody, uuid4(), True] if shop.name == "numbers" else [shop.nobody, 7, uuid4(), "x" * 129]
    assert [emitter.emit(paid(customer=user)) for user in wrong] == [False] * len(wrong)
    assert emitter.emit(paid(customer=shop.bob)) is True
    assert [emitter.emit(paid(customer=user)) for user in wrong] == [False] * len(wrong)
    assert emitter.counts["refused"] == 2 * len(wrong)
    assert caplog.text.count("bridge.event.refused") == 2 * len(wrong)
    assert emitter.flush(WAIT_S)
    emitter.close(0)


def test_an_authenticator_of_the_applications_own_lets_them_in(shop: Shop, tmp_path: Path) -> None:
    environment = {
        **shop.environment,
        "BRIDGE_JWT_SECRET": "",
        "BRIDGE_GATEWAY_AUTHENTICATOR": f"tests.support.identities:of_{shop.name}",
    }
    answer = run_cli("check", "--for", "gateway", environment=environment)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    with running_gateway(tmp_path, environment) as url:
        statuses = [
            httpx.head(url + EVENTS_PATH, headers=headers, timeout=WAIT_S).status_code
            for headers in ({"X-User": str(shop.bob)}, {"X-User": shop.nobody}, {}, {"X-Role": "guest"})
        ]
    assert statuses == [200, 401, 401, 403]


@pytest.mark.parametrize("name", ["sync", "careless", "a_class", "a_number", "missing"])
def test_check_says_what_is_wrong_with_an_authenticator(name: str) -> None:
    environment = {"BRIDGE_GATEWAY_AUTHENTICATOR": f"tests.support.identities:{name}"}
    answer = run_cli("check", "--for", "gateway", environment=environment)
    assert answer.returncode == 1
    (line,) = [line for line in answer.stderr.splitlines() if line.strip()]
    assert "gateway: BRIDGE_GATEWAY_AUTHENTICATOR names" in line
