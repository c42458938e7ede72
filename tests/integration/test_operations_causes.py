"""Grouping what real extractors raised in a real worker: a group a cause, whatever ids and numbers are in its words."""

import json
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from bridge import Emitter
from bridge.operations.letters import Letters, every_letter
from bridge.operations.selection import Selection
from bridge.redis_adapter import DeadLetters, connect
from bridge.settings import Settings
from bridge.wiring import store_of
from tests.support.faulty_catalog import CAUSES, Ordered, registry
from tests.support.processes import run_cli
from tests.support.waiting import wait_until
from tests.support.worker import running_worker

EVENTS = 10_000


def test_twelve_causes_over_ten_thousand_events_are_twelve_groups_each_of_one_cause(
    settings: Settings, tmp_path: Path
) -> None:
    users = [uuid4() for _ in range(100)]
    environment = {
        "BRIDGE_BROKER_URL": settings.broker_url,
        "BRIDGE_REGISTRY": "tests.support.faulty_catalog:registry",
    }
    with connect(settings) as client, running_worker(tmp_path, environment):
        dead = DeadLetters(client, settings)
        with closing(Emitter(settings, registry)) as emitter:
            for number in range(1, EVENTS + 1):
                emitter.emit(Ordered(user_id=users[number % 100], number=number, customer=f"Ann {number}"))
        wait_until(lambda: dead.count() == EVENTS, what="all are dead")
        causes_in: dict[str, set[int]] = defaultdict(set)
        for letter in every_letter(dead):
            causes_in[letter.group].add(json.loads(letter.envelope)["data"]["number"] % CAUSES)
        groups = Letters(store_of(client, settings)).groups(Selection())
        shown = run_cli("dead", "groups", "--json", environment=environment)
    assert [len(causes) for causes in causes_in.values()] == [1] * CAUSES, dict(causes_in)
    assert {group.group for group in groups} == set(causes_in)
    assert sum(group.count for group in groups) == EVENTS
    assert all(abs(group.count - EVENTS / CAUSES) <= 1 for group in groups)
    assert [group["group"] for group in json.loads(shown.stdout)] == [group.group for group in groups]
