"""``with_bridge``: a project's ASGI application with the gateway in front, for the users of Django's own login."""

from typing import TYPE_CHECKING, Any

from bridge.catalogs import load_registry
from bridge.contrib.django.apps import SESSIONS, require_app
from bridge.contrib.django.signing_out import end_streams_at_sign_out
from bridge.model.errors import SettingsError, require_extra
from bridge.model.registry import Registry
from bridge.settings import Settings, load_settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from bridge.gateway import Authenticator


def with_bridge(
    application: Any,
    *,
    authenticator: "Authenticator | None" = None,
    settings: Settings | None = None,
    registry: Registry | None = None,
) -> "Starlette":
    """Serve ``GET /api/v1/events`` from a Django project; every other request is its application's.

    The gateway and the emitter of this process begin and end with the server's lifespan, which Django knows nothing of.
    What stands in front of Django and has a lifespan itself, such as FastAPI, has it within the gateway's.
    Under a server without one (Daphne) streams are refused with a sentence that says so, and all else works.

    Args:
        application: what ``get_asgi_application()`` returned, or what stands in front of that.
        authenticator: default: the one that ``BRIDGE_GATEWAY_AUTHENTICATOR`` names, or else Django's sessions.
        settings: default: the project's, and the environment's.
        registry: default: the one that the settings name.

    Raises:
        MissingExtraError: Starlette or PyJWT is not installed.
        SettingsError: a setting is wrong, ``authenticator`` is not one, or the project does not have the bridge in
            INSTALLED_APPS.
        RegistryError: the registry cannot be loaded.
    """
    require_extra("gateway", "with_bridge", "starlette", "jwt")
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from bridge.contrib.django.lifespan import lifespan_of
    from bridge.contrib.django.sessions import SessionAuthenticator
    from bridge.contrib.starlette import add_bridge
    from bridge.gateway.authenticator import judged, load_authenticator

    if not callable(application):
        raise SettingsError(f"with_bridge wants an ASGI application, not {application!r}.")
    require_app("with_bridge")
    settings = settings or load_settings(for_=("gateway", "producer"))
    registry = registry or load_registry(settings.registry)
    if authenticator is not None:
        who = judged(authenticator, "authenticator=")
    elif settings.gateway_authenticator not in ("", SESSIONS):
        who = load_authenticator(settings.gateway_authenticator)
    else:
        who = SessionAuthenticator(registry.users)
    if isinstance(who, SessionAuthenticator):  # where the settings may name tokens, for a gateway beside this one
        end_streams_at_sign_out()
    served = Starlette(routes=[Mount("", app=application)], lifespan=lambda _: lifespan_of(application))
    add_bridge(served, who.identify, settings=settings, registry=registry)
    return served
