"""A user sees what happened in the order in which it happened, whatever the types, as long as it is of one category."""

import json
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bridge import DomainEvent, Emitter, Settings, User
from bridge.catalogs.finance import (
    REGISTRY,
    FileImportAttempted,
    FileImportFailed,
    FileImportProgressed,
    FileImportSucceeded,
)
from bridge.redis_adapter import connect, read_balance
from tests.support import keys
from tests.support.team import FORMS, team_environment
from tests.support.waiting import WAIT_S, wait_until
from tests.support.worker import running_worker

IMPORTS = 60
USERS = [uuid4() for _ in range(3)]


def an_import(user_id: UUID, number: int) -> list[DomainEvent]:
    of_it = {"user_id": user_id, "file_name": f"{number}.csv"}
    return [
        FileImportAttempted(**of_it, file_format="csv"),
        FileImportProgressed(**of_it, progress_percent=50, records_processed=1, total_records=2),
        FileImportSucceeded(**of_it, transaction_count=2) if number % 3 else FileImportFailed(**of_it, reason="bad"),
    ]


def its_story(number: int) -> list[tuple[str, str]]:
    end = "import.completed" if number % 3 else "import.failed"
    return [(event_type, f"{number}.csv") for event_type in ("import.started", "import.progress", end)]


@pytest.mark.parametrize(
    ("spooled", "form"), [(False, "own"), (True, "own"), (False, "installed")], ids=["memory", "spool", "a team's app"]
)
def test_events_of_a_category_keep_their_order_for_each_user(
    redis_url: str, tmp_path: Path, spooled: bool, form: str
) -> None:
    settings = Settings(broker_url=redis_url, spool_dir=str(tmp_path / "spool") if spooled else "")
    with closing(Emitter(settings, REGISTRY)) as emitter:
        for number in range(IMPORTS):
            for user_id in USERS:
                for event in an_import(user_id, number):
                    assert emitter.emit(event)
        assert emitter.flush(WAIT_S)
    environment = {"BRIDGE_BROKER_URL": redis_url, **team_environment(redis_url, tmp_path)}
    with connect(settings) as client, running_worker(tmp_path, environment, app=FORMS[form]):
        wait_until(lambda: read_balance(client).published == 3 * IMPORTS * len(USERS), what="all are published")
        for user_id in USERS:
            seen = [
                (fields[b"event_type"].decode(), json.loads(fields[b"data"])["file_name"])
                for _, fields in client.xrange(keys.stream(User(user_id)))
            ]
            assert seen == [step for number in range(IMPORTS) for step in its_story(number)]
