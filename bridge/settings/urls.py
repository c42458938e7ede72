"""URLs of servers: what is wrong with one, as far as reading it shows, and how one is shown without secrets; pure."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, unquote_plus, urlsplit

BROKER_SCHEMES = ("redis", "rediss", "sentinel", "amqp", "amqps")
STORE_SCHEMES = ("redis", "rediss", "sentinel", "unix")


def url_faults(variable: str, url: str, schemes: Sequence[str]) -> Iterator[str]:
    """What is wrong, one sentence each.

    Args:
        variable: what the sentences call it.
        url: one, or several sentinels with ``;`` between them.
        schemes: those that it may have.
    """
    if scheme_of(url) not in schemes:
        yield f"{variable} must start with one of {', '.join(f'{scheme}://' for scheme in schemes)}."
        return
    try:
        members = [urlsplit(member if "://" in member else f"sentinel://{member}") for member in url.split(";")]
        ports = [member.port for member in members]
    except ValueError:
        ports = [0]
    if 0 in ports:  # clients would silently take another one
        yield f"{variable} has a port that is no number between 1 and 65535."
        return
    if members[0].scheme == "sentinel" and url:
        yield from _sentinel_faults(variable, members)
    elif len(members) > 1:
        yield f"{variable} names several servers, as only sentinel:// can; name one."
    # kombu stops at another path, and redis-py silently takes database 0.
    if members[0].scheme in ("redis", "rediss") and not _names_a_database(members[0]):
        yield f"{variable} must end in a database number, such as /0, or in none."


def scheme_of(url: str) -> str:
    """What stands before ``://``; empty if nothing does."""
    return url.partition("://")[0] if "://" in url else ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _sentinel_faults(variable: str, members: Sequence[SplitResult]) -> Iterator[str]:
    if any(member.scheme != "sentinel" for member in members):
        yield f"{variable} mixes sentinel:// with something else; write sentinel://host:port;sentinel://host:port/0."
    if any(not member.hostname for member in members):
        yield f"{variable} names a sentinel without a host."
    if not all(map(_names_a_database, members)):
        yield f"{variable} must end in a database number, such as /0, or in none."
    if len({member.path.strip("/") for member in members} - {""}) > 1:
        yield f"{variable} names several databases; the last sentinel's is enough, such as /0."


def _names_a_database(url: SplitResult) -> bool:
    return re.fullmatch("/?|/[0-9]+", url.path) is not None


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
