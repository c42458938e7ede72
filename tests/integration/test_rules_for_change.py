"""The rules for change of docs/operating.md, each with real workers of two releases: nothing lost, nothing silent."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import redis

from bridge import DomainEvent, Emitter, Registry, Settings, User
from bridge.operations.letters import every_letter
from bridge.redis_adapter import DeadLetters, read_balance
from tests.support import keys
from tests.support.processes import run_cli
from tests.support.skewed_catalogs import New, Old, Retyped, Shorter, new, old, renamed, retyped, shorter
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

CATALOGS = "tests.support.skewed_catalogs"
NUMBER = 20


def environment(settings: Settings, catalog: str) -> dict[str, str]:
    return {"BRIDGE_BROKER_URL": settings.broker_url, "BRIDGE_REGISTRY": f"{CATALOGS}:{catalog}"}


def emit(settings: Settings, registry: Registry, events: Sequence[DomainEvent]) -> None:
    emitter = Emitter(settings, registry)
    assert emitter.emit_many(events) == len(events)
    assert emitter.flush(WAIT_S)
    emitter.close()


def published(client: redis.Redis, user: UUID, number: int) -> None:
    wait_until(lambda: client.xlen(keys.stream(User(user))) == number, what=f"{number} are published")


def redrive(environment: dict[str, str]) -> None:
    done = run_cli("dead", "redrive", "-y", environment=environment)
    assert done.returncode == 0, done


def expect_books(client: redis.Redis, *, published: int) -> None:
    wait_until(lambda: read_balance(client).open == 0, what="everything has ended")
    balance = read_balance(client)
    assert (balance.published, balance.dead, balance.difference, balance.unbooked) == (published, 0, 0, 0)


def test_a_category_is_renamed_workers_first_then_producers_then_what_is_left_is_moved(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    with running_worker(tmp_path, environment(settings, "old"), name="old"):
        emit(settings, old, [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
        published(client, user, NUMBER)
    with running_worker(tmp_path, environment(settings, "renamed"), name="new"):
        # A producer of the old release still sends where nobody reads any more.
        emit(settings, old, [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
        emit(settings, renamed, [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
        published(client, user, 2 * NUMBER)
        assert run_cli("queues", environment=environment(settings, "renamed")).returncode == 1
        moved = run_cli(
            "queues", "move", "bridge.orders", "bridge.purchases", "-y", environment=environment(settings, "renamed")
        )
        assert moved.returncode == 0, moved
        published(client, user, 3 * NUMBER)
        assert run_cli("queues", environment=environment(settings, "renamed")).returncode == 0
        expect_books(client, published=3 * NUMBER)


def test_a_type_is_added_workers_first(settings: Settings, client: redis.Redis, tmp_path: Path) -> None:
    user = uuid4()
    with running_worker(tmp_path, environment(settings, "new")):
        emit(settings, old, [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
        emit(settings, new, [New.OrderRefunded(user_id=user, number=number) for number in range(NUMBER)])
        published(client, user, 2 * NUMBER)
        expect_books(client, published=2 * NUMBER)


def test_a_type_is_removed_producers_first_and_what_comes_too_late_is_kept_with_the_cause(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    letters = DeadLetters(client, settings)
    emit(settings, new, [New.OrderRefunded(user_id=user, number=number) for number in range(NUMBER)])
    with running_worker(tmp_path, environment(settings, "old"), name="without-refunds"):
        wait_until(letters.count, what="they are kept")
        assert all("BRIDGE_REGISTRY" in letter.failure.message for letter in every_letter(letters))
        assert read_balance(client).dead == NUMBER
        assert run_cli("status", environment=environment(settings, "old")).returncode == 1
    with running_worker(tmp_path, environment(settings, "new"), name="with-refunds"):
        redrive(environment(settings, "new"))
        published(client, user, NUMBER)
        expect_books(client, published=NUMBER)


@pytest.mark.parametrize(
    ("catalog", "registry", "kind"),
    [("new", old, Old.OrderPlaced), ("shorter", new, New.OrderPlaced)],
    ids=["a field with a default is added", "a field is removed"],
)
def test_such_a_change_of_a_field_needs_workers_first_and_leaves_nothing_behind(
    settings: Settings, client: redis.Redis, tmp_path: Path, catalog: str, registry: Registry, kind: type[DomainEvent]
) -> None:
    user = uuid4()
    with running_worker(tmp_path, environment(settings, catalog)):
        emit(settings, registry, [kind(user_id=user, number=number) for number in range(NUMBER)])
        published(client, user, NUMBER)
        expect_books(client, published=NUMBER)


def test_a_field_that_is_removed_from_producers_first_must_have_had_a_default(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    with running_worker(tmp_path, environment(settings, "new")):
        emit(settings, shorter, [Shorter.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
        published(client, user, NUMBER)
        expect_books(client, published=NUMBER)


def test_a_field_of_another_type_is_kept_and_redriven_once_the_worker_reads_both(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    letters = DeadLetters(client, settings)
    with running_worker(tmp_path, environment(settings, "old"), name="old"):
        emit(settings, retyped, [Retyped.OrderPlaced(user_id=user, number=f"A-{number}") for number in range(NUMBER)])
        wait_until(lambda: letters.count() == NUMBER, what="they are kept")
        assert {letter.failure.stage for letter in every_letter(letters)} == {"decode"}
    with running_worker(tmp_path, environment(settings, "retyped"), name="both"):
        emit(settings, old, [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
        redrive(environment(settings, "retyped"))
        published(client, user, 2 * NUMBER)
        expect_books(client, published=2 * NUMBER)


def test_a_category_that_is_removed_is_emptied_by_a_worker_of_the_old_release(
    settings: Settings, client: redis.Redis, tmp_path: Path
) -> None:
    user = uuid4()
    emit(settings, old, [Old.OrderPlaced(user_id=user, number=number) for number in range(NUMBER)])
    without = environment(settings, "without")
    with running_worker(tmp_path, without, name="new"):
        wait_until(lambda: client.hlen(keys.WORKERS), what="it reports")
        assert "bridge.orders" in run_cli("status", environment=without).stdout
        with running_worker(tmp_path, environment(settings, "old"), "-n", "old@%h", name="old"):
            published(client, user, NUMBER)
            expect_books(client, published=NUMBER)
        assert run_cli("queues", environment=without).returncode == 0
