"""A spool directory with any number of files: each pass looks at some of them, and in the end at all."""

import os
from pathlib import Path

from bridge.producer.orphans import LOOKS_MAX, Orphans
from tests.support.spool import ADMISSION, leave_spool


def test_of_many_files_each_pass_looks_at_some_and_soon_at_all(tmp_path: Path, caplog) -> None:
    for number in range(2 * LOOKS_MAX):
        (tmp_path / f"{number:06}.spool").write_bytes(os.urandom(100))
    leave_spool(tmp_path, [1], name="z-good")
    orphans = Orphans(tmp_path, ADMISSION)
    found = []
    for _ in range(3):
        looks = list(orphans.adopt())
        assert len(looks) <= LOOKS_MAX
        assert orphans.has_more
        found += [file for file in looks if file is not None]
    assert [file.name for file in found] == ["z-good"]
    found[0].close()
    assert caplog.text.count("bridge.spool.unreadable") <= 3
