"""Who signs out of Django hears no more: their streams end on every gateway, and no request waits for that."""

import threading
import time
from functools import partial
from typing import Any

from django.contrib.auth.signals import user_logged_out
from django.db import transaction

from bridge.catalogs import load_configured
from bridge.model.errors import BridgeError
from bridge.model.plain_text import plain_logger
from bridge.settings import OperatorSettings

logger = plain_logger(__name__)

AT_ONCE = 8
"""Sign-outs that are told at a time; while Redis is away, each takes some seconds."""
SETTLE_S = 0.2
"""Django says who signs out just before it ends the session; a browser takes longer than this to come back."""
UID = "bridge"
"""``user_logged_out.disconnect(dispatch_uid="bridge")`` leaves it to the application."""
_room = threading.BoundedSemaphore(AT_ONCE)


def end_streams_at_sign_out() -> None:
    """From now on, for this process. Idempotent."""
    user_logged_out.connect(_note_sign_out, dispatch_uid=UID)


def _note_sign_out(user: Any = None, **_: Any) -> None:
    """Have it told once the session is gone; whatever fails, the sign-out does not.

    Every stream of the user ends, not the session's alone: that has another key after a change of the password. A
    browser that is signed in still comes back by itself, and misses nothing.
    """
    if user is None:
        return
    try:
        transaction.on_commit(partial(_tell_aside, user.pk), robust=True)
    except Exception as error:
        _log(type(error).__name__)


def _tell_aside(user_id: Any) -> None:
    if not _room.acquire(blocking=False):
        _log(f"{AT_ONCE} sign-outs wait for Redis already.")
        return
    try:
        threading.Thread(target=_tell, args=(user_id,), name="bridge-django-sign-out", daemon=True).start()
    except RuntimeError:
        _room.release()
        raise


def _tell(user_id: Any) -> None:
    from bridge.rights import disconnect  # which every start of the project would pay for

    try:
        time.sleep(SETTLE_S)
        settings, registry = load_configured(OperatorSettings)
        user = registry.users.parse(str(user_id))
        disconnect(user, who="django", reason="signed out", settings=settings, registry=registry)
    except BridgeError as error:
        _log(str(error))
    except Exception as error:
        _log(type(error).__name__)
    finally:
        _room.release()


def _log(why: str) -> None:
    logger.error("bridge.django.sign_out_untold: a user's open streams end within an hour, and not at once: %s", why)
