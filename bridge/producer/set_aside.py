"""Setting aside unreadable files in a spool directory: an operator may look at them, and no process trips over them."""

from contextlib import suppress
from pathlib import Path

from bridge.model.bounds import SPOOL_SET_ASIDE_MAX
from bridge.model.plain_text import plain_logger
from bridge.producer.spool_file import SIDE_FILES

logger = plain_logger(__name__)

BAD_SUFFIX = ".bad"


def set_aside(path: Path, reason: str) -> bool:
    """Rename a file, with what SQLite keeps beside it, to ``<name>.spool.bad``, and say so; whether that was possible.

    A directory holds ``SPOOL_SET_ASIDE_MAX`` of them; more are left where they are. Never raises.
    """
    why = " ".join(reason.split())
    try:
        target = _free_name(path)
        path.rename(target)
        for side in SIDE_FILES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + side).rename(target.with_name(target.name + side))
    except FileNotFoundError:
        return False  # somebody was faster
    except OSError as error:
        logger.error("bridge.spool.unreadable path=%s: it stays there (%s). %s", path, error.strerror or error, why)
        return False
    logger.error("bridge.spool.set_aside path=%s as=%s: %s", path, target.name, why)
    return True


def _free_name(path: Path) -> Path:
    """A name that nothing has.

    Raises:
        OSError: there are too many already.
    """
    taken = {other.name for other in path.parent.iterdir() if other.name.endswith(BAD_SUFFIX)}
    if len(taken) >= SPOOL_SET_ASIDE_MAX:
        raise OSError(f"{len(taken)} were set aside already: look at them and remove them")
    name, number = f"{path.name}{BAD_SUFFIX}", 1
    while name in taken:
        number += 1
        name = f"{path.name}.{number}{BAD_SUFFIX}"
    return path.with_name(name)
