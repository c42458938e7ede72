"""What is wrong with the URL of a broker or a store, as far as reading it shows; pure."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

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
        _ = [member.port for member in members]
    except ValueError:
        yield f"{variable} has a port that is no number between 0 and 65535."
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
