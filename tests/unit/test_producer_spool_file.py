"""One spool file: whom it belongs to, what of it is taken for an event, and what becomes of it when it is lost."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.model.bounds import SPOOL_SET_ASIDE_MAX
from bridge.model.errors import SpoolError
from bridge.producer.orphans import Orphans
from bridge.producer.spool import Spool
from bridge.producer.spool_file import SpoolFile
from tests.support.spool import ADMISSION, QUEUE, TASK, accepted, leave_spool, left_over, plant, set_aside

BIG = 2**30


def adopt(folder: Path) -> list[SpoolFile]:
    return _adopted(Orphans(folder, ADMISSION))


def _adopted(orphans: Orphans) -> list[SpoolFile]:
    return [file for file in orphans.adopt() if file is not None]


def test_a_file_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, ADMISSION, max_bytes=BIG)
    event = accepted(1, "alice")
    assert spool.append([event]) == 1
    assert adopt(tmp_path) == []
    spool.close()
    (heir,) = adopt(tmp_path)
    assert heir.oldest(10) == (1, [event])
    heir.remove(1)
    heir.close()
    assert not list(tmp_path.iterdir())


def test_what_was_handed_out_and_not_removed_still_waits_and_is_handed_out_again(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, ADMISSION, max_bytes=BIG)
    events = [accepted(number) for number in (1, 2, 3)]
    spool.append(events)
    for _ in range(3):
        assert spool.oldest(2) == (2, events[:2])
        assert spool.count() == 3
    spool.remove(2)
    assert spool.oldest(2) == (3, events[2:])
    assert spool.count() == 1
    spool.close()


def test_nobody_else_may_read_what_is_on_disk(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path / "made" / "here", ADMISSION, max_bytes=BIG)
    spool.append([accepted()])
    assert stat.S_IMODE((tmp_path / "made" / "here").stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "made" / "here").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    spool.close()


def test_a_lock_file_without_a_spool_is_removed(tmp_path: Path) -> None:
    (tmp_path / "1-dead.lock").touch()
    os.utime(tmp_path / "1-dead.lock", (0, 0))
    living = Spool.create(tmp_path, ADMISSION, max_bytes=BIG)
    assert adopt(tmp_path) == []
    assert "1-dead.lock" not in {path.name for path in tmp_path.iterdir()}
    assert living.append([accepted()]) == 1
    living.close()


DAMAGED_ROWS: dict[str, dict[str, Any]] = {
    "no JSON": {"envelope": b"\x00\xff no json"},
    "text": {"envelope": "{}"},
    "a number": {"envelope": 12},
    "empty": {"envelope": b""},
    "another event's envelope": {"task": "bridge.FileImportFailed"},
    "deep": {"envelope": b"[" * 100_000},
    "no id": {"envelope": b'{"specversion":"1.0","type":"FileImportSucceeded","data":{}}'},
    "nothing as task": {"task": None},
    "a huge task": {"task": "x" * 2_000_000},
}


@pytest.mark.parametrize("row", DAMAGED_ROWS.values(), ids=DAMAGED_ROWS)
def test_a_damaged_row_is_passed_over_kept_and_counted(tmp_path: Path, row: dict[str, Any]) -> None:
    path = leave_spool(tmp_path, [1])
    plant(path, **row)
    last_id = plant(path)
    (file,) = adopt(tmp_path)
    _, events = file.oldest(10)
    assert [event.event_id for event in events][-1] == last_id
    assert (len(events), file.damaged, file.foreign) == (2, 1, 0)
    file.remove(3)
    assert (file.count(), file.oldest(10)[1]) == (0, [])
    file.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT id FROM events").fetchall() == [(2,)]


def test_rows_with_numbers_that_are_not_ours_are_sent_too(tmp_path: Path) -> None:
    path = leave_spool(tmp_path, [1, 2, 3])
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE events SET id = id - 3")
        db.commit()
    (file,) = adopt(tmp_path)
    assert file.count() == 3
    last, events = file.oldest(10)
    assert (last, len(events)) == (0, 3)
    file.remove(last)
    file.close()
    assert not list(tmp_path.glob("*.spool"))


@pytest.mark.parametrize("user", [12, 1.5, b"\xff\xfe", "x" * 5_000])
def test_a_row_whose_user_cannot_be_one_is_nobodys(tmp_path: Path, user: object) -> None:
    path = leave_spool(tmp_path, [1])
    plant(path, user=user)
    (file,) = adopt(tmp_path)
    assert len(file.oldest(10)[1]) == 2
    file.close()


def test_where_an_event_goes_is_the_registrys_to_say_and_not_the_rows(tmp_path: Path) -> None:
    path = leave_spool(tmp_path, [1])
    plant(path, queue="somebody.elses")
    (file,) = adopt(tmp_path)
    assert {(event.task, event.queue) for event in file.oldest(10)[1]} == {(TASK, QUEUE)}
    file.close()


def test_rows_of_another_registry_wait_for_it_and_are_told_of_once(tmp_path: Path, caplog) -> None:
    path = leave_spool(tmp_path, [1])
    plant(path, task="shop.Ordered", queue="shop")
    orphans = Orphans(tmp_path, ADMISSION)
    for _ in range(3):
        for file in _adopted(orphans):
            file.remove(file.oldest(10)[0])
            file.oldest(10)
            orphans.release(file)
    assert caplog.text.count("bridge.spool.skipped") == 1
    assert "BRIDGE_REGISTRY" in caplog.text
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT task FROM events").fetchall() == [("shop.Ordered",)]


def test_a_round_is_bounded_in_bytes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("bridge.producer.spool_file.SPOOL_ROUND_BYTES_MAX", 2_000)
    leave_spool(tmp_path, range(100))
    (file,) = adopt(tmp_path)
    assert 1 < len(file.oldest(100)[1]) < 12
    file.close()


def _truncate(path: Path, to: int) -> None:
    with path.open("r+b") as file:
        file.truncate(to)


UNREADABLE = {
    "random bytes": lambda path: path.write_bytes(os.urandom(20_000)),
    "few bytes": lambda path: path.write_bytes(b"x"),
    "truncated": lambda path: _truncate(path, 5_000),
    "half a page": lambda path: _truncate(path, 2_000),
    "another database": lambda path: _other_database(path),
    "a view": lambda path: _view(path),
    "a link": lambda path: path.symlink_to("/etc/passwd"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a directory": lambda path: (path.mkdir(), (path / "x").touch()),
    "a pipe": lambda path: os.mkfifo(path),
}


def _other_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE events (what TEXT)")


def _view(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE VIEW events AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
            " SELECT id, 'a' AS task, 'b' AS queue, x'00' AS envelope, 'c' AS user FROM n"
        )


@pytest.mark.parametrize("how", UNREADABLE)
def test_what_cannot_be_read_is_set_aside_once_and_said(tmp_path: Path, caplog, how: str) -> None:
    path = leave_spool(tmp_path, range(500), name="1-bad")
    if how.startswith("a ") and how != "a view":
        path.unlink()
    UNREADABLE[how](path)
    leave_spool(tmp_path, [1, 2], name="2-good")
    orphans = Orphans(tmp_path, ADMISSION)
    found = 0
    for file in _adopted(orphans):
        try:
            while events := file.oldest(5_000)[1]:
                found += len(events)
                file.remove(10_000)
        except SpoolError as error:
            orphans.give_up(file, error)
        else:
            orphans.release(file)
    assert found >= 2
    assert set_aside(tmp_path) == ["1-bad.spool.bad"]
    assert left_over(tmp_path) == []
    assert orphans.set_aside == 1
    assert caplog.text.count("bridge.spool.set_aside") == 1
    assert _adopted(orphans) == []


def test_an_empty_file_is_removed(tmp_path: Path) -> None:
    (tmp_path / "1.spool").touch()
    orphans = Orphans(tmp_path, ADMISSION)
    for file in _adopted(orphans):
        assert file.oldest(10)[1] == []
        orphans.release(file)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_set_aside_are_bounded_in_number(tmp_path: Path, caplog) -> None:
    for number in range(SPOOL_SET_ASIDE_MAX + 20):
        (tmp_path / f"{number:03}.spool").write_bytes(os.urandom(100))
    orphans = Orphans(tmp_path, ADMISSION)
    assert _adopted(orphans) == []
    assert _adopted(orphans) == []
    assert len(set_aside(tmp_path)) == SPOOL_SET_ASIDE_MAX
    assert len(left_over(tmp_path)) == 20
    assert caplog.text.count("bridge.spool.unreadable") == 1


def test_a_database_that_another_program_holds_is_left_and_looked_at_again(tmp_path: Path, caplog) -> None:
    path = leave_spool(tmp_path, [1])
    orphans = Orphans(tmp_path, ADMISSION)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        assert _adopted(orphans) == []
        assert _adopted(orphans) == []
        db.execute("ROLLBACK")
    assert caplog.text.count("bridge.spool.skipped") == 1
    (file,) = _adopted(orphans)
    assert len(file.oldest(10)[1]) == 1
    file.close()


@pytest.mark.parametrize("what", ["folder", "file", "lock"])
def test_a_file_that_is_removed_under_its_process_is_made_anew_with_what_it_held(tmp_path, caplog, what: str) -> None:
    folder = tmp_path / "spool"
    spool = Spool.create(folder, ADMISSION, max_bytes=BIG, name="mine")
    spool.append([accepted(1), accepted(2)])
    last, _ = spool.oldest(1)
    if what == "folder":
        shutil.rmtree(folder)
    else:
        (folder / f"mine.{'spool' if what == 'file' else 'lock'}").unlink()
    assert spool.append([accepted(3)]) == 1
    assert ("bridge.spool.gone" in caplog.text) == (what != "lock")
    assert adopt(folder) == []
    spool.remove(last)
    assert len(spool.oldest(10)[1]) == 2
    with closing(sqlite3.connect(f"file:{spool.path}?mode=ro", uri=True)) as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (2,)
    assert spool.name == "mine"
    spool.close()
    files = adopt(folder)
    assert sum(file.count() for file in files) == 2
    for file in files:
        file.close()


def test_a_folder_that_cannot_be_made_anew_is_told_and_what_is_there_is_still_read(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = Spool.create(folder, ADMISSION, max_bytes=BIG)
    spool.append([accepted(1)])
    shutil.rmtree(folder)
    folder.write_text("in the way")
    with pytest.raises(SpoolError):
        spool.append([accepted(2)])
    assert len(spool.oldest(10)[1]) == 1
    folder.unlink()
    assert spool.append([accepted(2)]) == 1
    spool.close()


def test_write_ahead_logs_are_counted(tmp_path: Path) -> None:
    most = 2_000_000
    spools = [Spool.create(tmp_path, ADMISSION, max_bytes=most) for _ in range(4)]
    for spool in spools * 20:
        spool.append([accepted(number) for number in range(200)])
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if not path.name.endswith("-shm")) < most * 1.1
    assert sum(spool.count() for spool in spools) > 1_000
    for spool in spools:
        spool.close()


def test_an_emptied_file_gives_its_room_back(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, ADMISSION, max_bytes=BIG)
    for _ in range(10):
        spool.append([accepted(number) for number in range(1_000)])
    assert spool.path.stat().st_size > 2_000_000
    while (found := spool.oldest(5_000))[1]:
        spool.remove(found[0])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100_000
    spool.close()


def test_a_row_that_comes_after_all_were_sent_is_sent_too(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, ADMISSION, max_bytes=BIG)
    for number in range(3):
        event = accepted(number)
        spool.append([event])
        last, events = spool.oldest(10)
        assert events == [event]
        spool.remove(last)
    spool.close()
