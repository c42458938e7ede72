"""``Orphans``: spool files whose process is gone; each is adopted by one process, and none can stop the others."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from os.path import lexists
from pathlib import Path

from bridge.model.plain_text import plain_logger
from bridge.producer.lifetime import SQLITE
from bridge.producer.row_validation import RowValidator
from bridge.producer.spool_file import SUFFIX, DamagedError, NotOursError, SpoolFile
from bridge.producer.spool_folder import remove_stale_locks, set_aside

logger = plain_logger(__name__)

BUSY_TIMEOUT_S = 0.2
"""How long another program's lock is waited for; there is a next time."""
LOOKS_MAX = 1_000
"""Files that are looked at in one pass; of more, the next pass goes on behind the last."""
SKIPPED_MAX = 1_000
"""Files that are remembered, so that each is told of once; the oldest are forgotten, and told of again."""


class Orphans:
    """Finds and opens them, for one thread; ``validator`` decides which rows are sent.

    Attributes:
        set_aside: files that cannot be read, set aside so far.
        has_more: whether the last pass left files for the next.
    """

    def __init__(self, folder: Path, validator: RowValidator) -> None:
        self._folder = folder
        self._validator = validator
        self._told: OrderedDict[Path, tuple[object, str]] = OrderedDict()
        self._last = folder
        self._sets_aside = True
        self.set_aside = 0
        self.has_more = False

    @property
    def skipped(self) -> int:
        """How many files are left to others."""
        return len(self._told)

    def adopt(self) -> Iterator[SpoolFile | None]:
        """Every file in the directory that no process holds, the oldest name first; close each. None for any other.

        A directory may hold any number of files: a pass ends after ``LOOKS_MAX``.
        """
        self._sets_aside = True
        if SQLITE.torn:
            return  # said by our own spool
        try:
            with suppress(OSError):
                remove_stale_locks(self._folder, SUFFIX)
            paths = sorted(self._folder.glob(f"*{SUFFIX}"))
        except OSError as error:
            self._skip(self._folder, f"the directory cannot be read: {error}")
            return
        for gone in self._told.keys() - {*paths, self._folder}:
            del self._told[gone]
        for path in self._next_paths(paths):
            yield self._open(path)

    def give_up(self, file: SpoolFile, error: Exception) -> None:
        """Release a file that could not be emptied; one that is damaged is set aside first."""
        if isinstance(error, DamagedError):
            self.set_aside += set_aside(file.path, str(error))
        file.close()
        if not isinstance(error, DamagedError):
            self._skip(file.path, str(error), again=True)

    def release(self, file: SpoolFile) -> None:
        """Close a file of which everything was sent that could be; one in which only damaged rows are is set aside."""
        if file.damaged and not file.foreign:
            reason = f"{file.damaged} of its rows are no events of ours; the others were sent."
            self.set_aside += set_aside(file.path, reason)
        file.close()
        if file.foreign:
            self._skip(
                file.path,
                f"{file.foreign} events in it are of types that BRIDGE_REGISTRY of this process does not have. "
                "They wait for a process that has them.",
            )

    def _next_paths(self, paths: list[Path]) -> list[Path]:
        self.has_more = len(paths) > LOOKS_MAX
        if not self.has_more:
            return paths
        first = bisect_right(paths, self._last)
        chosen = [*paths[first : first + LOOKS_MAX], *paths[: max(0, first + LOOKS_MAX - len(paths))]]
        self._last = chosen[-1]
        return chosen

    def _open(self, path: Path) -> SpoolFile | None:
        told = self._told.get(path)
        if told is not None and told[0] == _version(path):
            return None
        try:
            return SpoolFile(path, self._validator, busy_timeout_s=BUSY_TIMEOUT_S)
        except (BlockingIOError, FileNotFoundError):
            return None  # its process lives, or somebody was faster
        except DamagedError as error:
            # Where one cannot be set aside, the others of this pass cannot either: it is said once, and costs once.
            if self._sets_aside and set_aside(path, str(error)):
                self.set_aside += 1
            elif lexists(path):
                self._sets_aside = False
                self._skip(path, "")
        except NotOursError as error:
            self._skip(path, str(error))
        except Exception as error:  # the disk, a lock, or a surprise: it must not cost the other files
            self._skip(path, f"{type(error).__name__}: {error}", again=True)
        return None

    def _skip(self, path: Path, reason: str, *, again: bool = False) -> None:
        """Remember a file, and tell of it once; with ``again``, look at it the next time all the same."""
        told = self._told.get(path)
        if reason and (told is None or told[1] != reason):
            logger.warning("bridge.spool.skipped path=%s: %s", path, " ".join(reason.split()))
        self._told[path] = (None if again else _version(path), reason)
        if len(self._told) > SKIPPED_MAX:
            self._told.popitem(last=False)


def _version(path: Path) -> object:
    """What changes when somebody writes to a file, or puts another in its place; None if it cannot be seen."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid
