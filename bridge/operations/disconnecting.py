"""Withdrawing rights: a user's streams, or a session's, end on every gateway; what was granted before is refused."""

from dataclasses import dataclass

from bridge.model.bounds import SESSION_CHARS_MAX
from bridge.model.errors import OperationRefusedError
from bridge.model.log_entry import LogEntry
from bridge.model.plain_text import plain_logger
from bridge.model.registry import Id, Registry
from bridge.model.withdrawal import session_target, user_target
from bridge.ports import Store

logger = plain_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Disconnected:
    """What came of it."""

    target: str  # who, as the log of operations has it: a session by its digest
    gateways: int  # processes that heard of it at once


def disconnect_user(store: Store, registry: Registry, user: Id, *, who: str, reason: str = "") -> Disconnected:
    """End all streams of a user.

    Raises:
        IdError: it is no id of the registry's kind.
    """
    return _disconnect(store, user_target(registry.users.checked(user, "the user")), who, reason)


def disconnect_session(store: Store, session: str, *, who: str, reason: str = "") -> Disconnected:
    """End the streams of one session, as ``Principal.session`` names it.

    Raises:
        OperationRefusedError: it has no name, or a longer one than any session.
    """
    if not (isinstance(session, str) and session):
        raise OperationRefusedError("A session is named by a text that is not empty: a session's key, a token's id.")
    if len(session) > SESSION_CHARS_MAX:
        raise OperationRefusedError(
            f"No session has a name of more than {SESSION_CHARS_MAX} characters: disconnect the user, or name "
            "sessions shorter."
        )
    return _disconnect(store, session_target(session), who, reason)


def end_streams(store: Store, registry: Registry, user: Id) -> int:
    """End the open streams of a user that is to be judged anew; returns how many gateways heard of it.

    No right is withdrawn: nothing is recorded or logged, where that would push out what operators did.

    Raises:
        IdError: it is no id of the registry's kind.
    """
    return store.rights.end_streams(user_target(registry.users.checked(user, "the user")))


def _disconnect(store: Store, target: str, who: str, reason: str) -> Disconnected:
    told = store.rights.withdraw(target)
    store.log.append(
        LogEntry(who=who, action="disconnect", selection=target, numbers={"gateways": told.gateways}, reason=reason)
    )
    if told.evicted:
        logger.warning(
            "bridge.disconnect.evicted entries=%d: so many are disconnected that the oldest are remembered no longer.",
            told.evicted,
        )
    return Disconnected(target=target, gateways=told.gateways)
