"""Origins whose pages may read the stream: written as a browser sends them, or refused in a sentence. Pure."""

from ipaddress import ip_address
from urllib.parse import urlsplit

SHOWN_MAX = 100
"""Characters that are repeated of what is refused."""
DEFAULT_PORTS = {"http": 80, "https": 443}
_FORM = "an origin is written https://host or https://host:port, without a path"


def origin_fault(origin: str) -> str:
    """Why no browser ever sends this as its origin, as a sentence; empty if one may.

    A browser compares with what it sends: scheme and host in small letters, the port only where it is not the usual
    one, nothing else. What is near to that would be taken without a word, and its pages locked out.
    """
    why = _why(origin)
    shown = origin.rpartition("@")[2]  # what stands before it may be a password
    return f"{shown[:SHOWN_MAX]!r} {why}; {_FORM}." if why else ""


def _why(origin: str) -> str:
    match origin:
        case "*":
            return "is refused because cookies are sent"
        case "null":
            return "is what any sandboxed page and any file sends"
        case _ if not origin.isascii():
            return "must be written in ASCII, as browsers send it (xn--…)"
        case _ if "@" in origin:
            return "is preceded by a user, which browsers leave out"
        case _ if "*" in origin:
            return "is a pattern, and each origin must be named"
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in DEFAULT_PORTS or not host:
        return "is no origin"
    if port == DEFAULT_PORTS[parts.scheme]:
        return f"names port {port}, which browsers leave out for {parts.scheme}"
    return _otherwise_sent(origin, parts.scheme, host, port)


def _otherwise_sent(origin: str, scheme: str, host: str, port: int | None) -> str:
    try:
        sent_host = _sent_host(host)
    except ValueError:
        return "is no address"
    as_sent = f"{scheme}://{sent_host}" + (f":{port}" if port is not None else "")
    return "" if origin == as_sent else f"is not what a browser sends, which is {as_sent}"


def _sent_host(host: str) -> str:
    """A host as browsers write it, from one in small letters.

    Raises:
        ValueError: it is invalid.
    """
    if ":" in host:
        return f"[{ip_address(host)}]"
    if host.rpartition(".")[2].isdigit():
        return str(ip_address(host))
    if not all(character.isalnum() or character in "-._" for character in host):
        raise ValueError(host)
    return host
