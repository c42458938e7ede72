"""``disconnect``: an application withdraws a right that it gave; with the settings and rights of operators on Redis."""

import asyncio
from functools import partial

from bridge.catalogs import load_registry
from bridge.catalogs.loading import BUILT_IN
from bridge.model.bounds import REASON_CHARS_MAX
from bridge.model.errors import IdError, OperationRefusedError
from bridge.model.registry import Id, Registry
from bridge.operations import disconnect_session, disconnect_user
from bridge.runtime.identity import who_am_i
from bridge.settings import OperatorSettings, load_settings
from bridge.wiring import open_store


def disconnect(
    user: Id | None = None,
    *,
    session: str | None = None,
    who: str = "",
    reason: str = "",
    settings: OperatorSettings | None = None,
    registry: Registry | None = None,
) -> int:
    """End all open streams of a user, or of one session, on every gateway, within a second. Blocks.

    What was granted before this moment is refused for ``BRIDGE_DISCONNECT_TTL_S``: a token that was issued before it
    (or does not say when), a ticket. An authenticator of your own is asked again when the browser comes back, and must
    say no by itself. A second call counts anew.

    Args:
        user: the id, of the registry's kind.
        session: instead of a user: the text that ``Principal.session`` had. Only a digest of it is written down.
        who: for the log of operations; default: the user of this process.
        reason: for the log of operations.
        settings: default: read from the environment.
        registry: default: the one that the settings name.

    Returns:
        How many gateway processes heard of it at once. Any other ends the streams when it has Redis again, before it
        serves anybody.

    Raises:
        SettingsError: no settings were given and the environment's are wrong.
        RegistryError: no registry was given and the settings' cannot be loaded.
        OperationRefusedError: neither a user nor a session was named, or both.
        IdError: the user is no id of the registry's kind.
        StoreError: Redis is away or refuses; whether it happened is not known: call it again.
    """
    if (user is None) == (session is None):
        raise OperationRefusedError("Say who is to be disconnected: disconnect(user), or disconnect(session=…).")
    settings = settings or load_settings(for_=OperatorSettings)
    logged = {"who": who or who_am_i(), "reason": reason[:REASON_CHARS_MAX]}
    with open_store(settings) as store:
        if user is None:
            return disconnect_session(store, session or "", **logged).gateways
        try:
            return disconnect_user(store, registry or load_registry(settings.registry), user, **logged).gateways
        except IdError as error:
            if registry is not None:
                raise
            named = f"{error} So says the catalog {settings.registry or BUILT_IN}: "
            raise IdError(f"{named}name yours by BRIDGE_REGISTRY, or give it as registry=.") from None


async def disconnect_async(
    user: Id | None = None,
    *,
    session: str | None = None,
    who: str = "",
    reason: str = "",
    settings: OperatorSettings | None = None,
    registry: Registry | None = None,
) -> int:
    """As ``disconnect``, without blocking the event loop."""
    act = partial(disconnect, user, session=session, who=who, reason=reason, settings=settings, registry=registry)
    return await asyncio.to_thread(act)
