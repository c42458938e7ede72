"""Who signs out of Django hears no more: their streams end on every gateway, and no request waits for that.

Nothing is withdrawn by it, as by ``bridge.disconnect``: a token of the user's phone stays good, and no record fills up.
"""

import os
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.signals import user_logged_out
from django.db import transaction

from bridge.catalogs import load_configured
from bridge.contrib.django.under_test import is_test
from bridge.model.errors import BridgeError, IdError
from bridge.model.plain_text import plain_logger
from bridge.producer.diversion import diversion, is_under_test
from bridge.settings import OperatorSettings

if TYPE_CHECKING:
    from bridge.model.registry import Registry
    from bridge.ports import Store

logger = plain_logger(__name__)

WAITING_MAX = 5_000
"""Users that wait to be told of; so many sign out in the seconds that a try takes while Redis is away."""
SETTLE_S = 0.2
"""Django says who signs out just before it ends the session; a browser takes longer than this to come back.

It counts from the commit. If another receiver of the signal takes longer than this, the browser may be let in once more
by the session that is about to end: then its stream ends after ``sessions.STREAM_S``.
"""
UID = "bridge"
"""``user_logged_out.disconnect(dispatch_uid="bridge")`` leaves it to the application."""


def end_streams_at_sign_out() -> None:
    """From now on, for this process. Idempotent."""
    user_logged_out.connect(_note_sign_out, dispatch_uid=UID)


def _note_sign_out(user: Any = None, **_: Any) -> None:
    """Have it told once the session is gone; whatever fails, the sign-out does not.

    Every stream of the user ends, not the session's alone: that has another key after a change of the password. A
    browser that is signed in still comes back by itself, and misses nothing.
    """
    if user is None or _is_of_a_test():
        return
    try:
        transaction.on_commit(partial(_tell_soon, user.pk), robust=True)
    except Exception as error:
        _log(1, type(error).__name__)


def _is_of_a_test() -> bool:
    """Whether it must not leave the process: a test's users have the ids of real ones."""
    return (is_test() or diversion() is not None) and not is_under_test()


def _tell_soon(user_id: Any) -> None:
    if not _sign_outs().add(user_id):
        _log(1, f"{WAITING_MAX} users wait already, as Redis is away or slow.")


class _SignOuts:
    """Who has signed out and is not told of yet, each user once, and the thread that tells, while anybody is."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._due: dict[Any, float] = {}  # by user, the soonest first; monotonic seconds
        self._runs = False

    def add(self, user_id: Any) -> bool:
        """Whether there was room."""
        with self._lock:
            self._due.pop(user_id, None)  # a later session of the same user ends later
            if len(self._due) >= WAITING_MAX:
                return False
            self._due[user_id] = time.monotonic() + SETTLE_S
            if not self._runs:
                threading.Thread(target=self._run, name="bridge-django-sign-outs", daemon=True).start()
                self._runs = True
        return True

    def _run(self) -> None:
        while (wait_s := self._wait_s()) is not None:
            time.sleep(wait_s)
            _tell(self._take())

    def _wait_s(self) -> float | None:
        """Until the next is due; None: there is none, and the thread ends."""
        with self._lock:
            self._runs = bool(self._due)
            return max(0.0, next(iter(self._due.values())) - time.monotonic()) if self._due else None

    def _take(self) -> deque[Any]:
        with self._lock:
            now = time.monotonic()
            taken = deque(user for user, due in self._due.items() if due <= now)
            for user in taken:
                del self._due[user]
        return taken


_known = _SignOuts()


def _sign_outs() -> _SignOuts:
    """This process' own: a forked child has no thread of its parent, and leaves what waits there to that."""
    global _known
    if _known.pid != os.getpid():
        _known = _SignOuts()  # of two threads that come first, each may make one: both tell
    return _known


def _tell(users: deque[Any]) -> None:
    from bridge.wiring import open_store  # which every start of the project would pay for

    if _is_of_a_test() or not users:
        return
    try:
        settings, registry = load_configured(OperatorSettings)
        with open_store(settings) as store:
            while users:
                _end_streams(store, registry, users[0])
                users.popleft()
    except BridgeError as error:
        _log(len(users), str(error))
    except Exception as error:
        _log(len(users), type(error).__name__)


def _end_streams(store: "Store", registry: "Registry", user_id: Any) -> None:
    from bridge.operations import end_streams

    try:
        end_streams(store, registry, registry.users.parse(str(user_id)))
    except IdError as error:  # no other sign-out waits for that
        _log(1, str(error))


def _log(users: int, why: str) -> None:
    logger.error(
        "bridge.django.sign_out_untold users=%d: streams of who signed out end not at once but when their time is over "
        "(of Django's sessions within five minutes): %s",
        users,
        why,
    )
