"""URLs as they may appear on a screen, in a log or in an answer: without secrets, wherever these stand; pure."""

from urllib.parse import unquote_plus

MASK = "***"
HARMLESS_OPTIONS = frozenset(
    {
        "db", "protocol", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "health_check_interval",
        "max_connections", "ssl", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile",
        "heartbeat", "connection_timeout", "virtual_host", "client_name", "retry_on_timeout", "decode_responses",
    }
)  # fmt: skip
"""Options in a URL's query whose values are shown. Any other may be a secret."""


def shown_url(urls: str) -> str:
    """A URL, or several with ``;`` between them, without the secrets that they hold.

    The name of a user is shown if a password follows it; alone before an ``@`` it may itself be the secret. Of what
    cannot be told apart for sure only the scheme is shown.
    """
    members = urls.split(";")
    is_list = urls.startswith("sentinel://") or all("://" in member for member in members)
    return ";".join(map(_shown, members)) if is_list else _shown(urls)


def _shown(url: str) -> str:
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    place, question, query = rest.partition("?")
    credentials, at, host = place.rpartition("@")
    # A password that is not written as URLs want it may hold any of these.
    if host.startswith(":") or "#" in rest or "@" in query or (";" in rest and not at):
        return f"{scheme}{separator}{MASK}"
    return f"{scheme}{separator}{_shown_login(credentials)}{at}{host}{question}{_shown_query(query)}"


def _shown_login(credentials: str) -> str:
    user, colon, _ = credentials.partition(":")
    if not credentials:
        return ""
    return f"{user}:{MASK}" if colon else MASK


def _shown_query(query: str) -> str:
    return "&".join(map(_shown_option, query.split("&"))) if query else ""


def _shown_option(option: str) -> str:
    name, equals, _ = option.partition("=")
    if unquote_plus(name).lower() in HARMLESS_OPTIONS:
        return option
    return f"{name}={MASK}" if equals else MASK
