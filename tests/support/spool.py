"""Spool files as a healthy process leaves them, as tests damage them, and rows as somebody may plant them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from bridge.catalogs.finance import REGISTRY, FileImportSucceeded
from bridge.model.pipeline import EventCodec
from bridge.producer.batching import Accepted
from bridge.producer.row_validation import RowValidator
from bridge.producer.spool import Spool

TASK, QUEUE = "bridge.FileImportSucceeded", "bridge.import"
ADMISSION = RowValidator(REGISTRY)
_codec = EventCodec(FileImportSucceeded)


def accepted(number: int = 0, user: str | None = None) -> Accepted:
    """An event of the built-in catalog, as a producer keeps it."""
    event = FileImportSucceeded(user_id=uuid4(), file_name="x", transaction_count=number)
    return Accepted(TASK, QUEUE, event.event_id, _codec.encode(event, source="test"), user)


def leave_spool(folder: Path, numbers: Sequence[int], *, name: str = "") -> Path:
    """A spool file of a process that is no more, with an event for each number."""
    spool = Spool.create(folder, ADMISSION, max_bytes=2**30, name=name)
    assert spool.append([accepted(number) for number in numbers]) == len(numbers)
    spool.close()
    return spool.path


def plant(path: Path, *, task: Any = TASK, queue: Any = QUEUE, envelope: Any = None, user: Any = None) -> UUID:
    """A row in a spool file, with any values; returns the id of the event that is in it by default."""
    event = accepted(7_777)
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "INSERT INTO events (task, queue, envelope, user) VALUES (?, ?, ?, ?)",
            (task, queue, event.envelope if envelope is None else envelope, user),
        )
        db.commit()
    return event.event_id


def left_over(folder: Path) -> list[str]:
    """Names in a directory but for what was set aside."""
    return sorted(path.name for path in folder.iterdir() if ".bad" not in path.name)


def waiting_rows(folder: Path) -> int:
    """Events in all spool files of a directory whose processes are no more."""
    found = 0
    for path in folder.glob("*.spool"):
        with closing(sqlite3.connect(path)) as db:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                found += db.execute("SELECT count(*) FROM events").fetchone()[0]
    return found


def set_aside(folder: Path) -> list[str]:
    """Names of what was set aside there."""
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".bad"))
