"""What waits in an outbox is seen by operators, also when no process is left that drains it."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.orm import Session

from bridge import Emitter, Settings
from bridge.catalogs.finance import REGISTRY
from bridge.contrib.sqlalchemy import drain, emit
from bridge.local.redis_server import free_port
from bridge.operations import Auditor, Status, StatusReader
from bridge.producer import reporter
from bridge.wiring import open_store
from tests.support.databases import Database
from tests.support.outbox import Outbox, imported, row_of
from tests.support.waiting import WAIT_S, wait_until


@pytest.fixture
def outbox(make_database: Callable[[str], Database]) -> Iterator[Outbox]:
    outbox = Outbox(make_database("sqlite"))
    yield outbox
    outbox.close()


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes report sooner than they do by themselves."""
    for name in ("INTERVAL_S", "IDLE_INTERVAL_S", "SAMPLE_S"):
        monkeypatch.setattr(reporter, name, 0.05)


def status(settings: Settings) -> Status:
    reader = StatusReader(open_store(settings), settings, REGISTRY)
    try:
        return reader.read()
    finally:
        reader.close()


def test_what_is_set_aside_waits_or_cannot_be_read_is_in_the_status(outbox: Outbox, settings: Settings) -> None:
    outbox.insert(row_of(imported(1), envelope=b"{"), row_of(imported(2), task="bridge.Unknown"))
    emitter = Emitter(settings, REGISTRY)
    drain(outbox.engine, emitter=emitter)
    wait_until(lambda: [one.set_aside for one in status(settings).outboxes] == [1], what="it reports")
    shown = status(settings)
    assert [(one.waiting, one.foreign, one.drained_by) for one in shown.outboxes] == [(1, 1, 1)]
    assert len([remark for remark in shown.remarks if remark.startswith("The outbox of sqlite://")]) == 2
    outbox.execute("DROP TABLE bridge_outbox")
    wait_until(lambda: any("has no table bridge_outbox" in one.sentence for one in status(settings).faults), what="it")
    assert emitter.emit(imported(3)), "other events are not touched"
    assert emitter.flush(0) or emitter._background.wait_until_delivered(WAIT_S)
    emitter.close()


def test_an_audit_and_a_status_know_of_what_the_last_process_left(outbox: Outbox, settings: Settings) -> None:
    away = Settings(broker_url=f"redis://127.0.0.1:{free_port()}/0", redis_url=settings.broker_url)
    emitter = Emitter(away, REGISTRY)
    with Session(outbox.engine) as session:
        for number in range(3):
            assert emit(imported(number), session=session, emitter=emitter)
        session.commit()
    wait_until(lambda: [one.waiting for one in status(settings).outboxes] == [3], what="it reports")
    emitter.close(0)
    (left,) = status(settings).outboxes
    assert (left.waiting, left.drained_by) == (3, 0)
    assert any("no process drains it" in fault.sentence for fault in status(settings).faults)
    audited = Auditor(open_store(settings), settings, REGISTRY).audit()
    assert [one.waiting for one in audited.outboxes] == [3]
    assert audited.clean
    heir = Emitter(settings, REGISTRY)
    drain(outbox.engine, emitter=heir)
    assert heir.flush(WAIT_S)
    wait_until(lambda: [one.waiting for one in status(settings).outboxes] == [0], what="the heir reports")
    heir.close()
    assert status(settings).outboxes == (), "what the first left behind is withdrawn"
    assert Auditor(open_store(settings), settings, REGISTRY).audit().balance.accepted == 3
