"""What an error of redis-py means: which kind it is, the server's own word for it, and what to do; pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from redis import exceptions as redis_errors

from bridge.model.bounds import SERVER_WORDS_CHARS_MAX
from bridge.model.errors import WRITES_REFUSED, ErrorKind, StoreError, StoreRefusedError, StoreUnavailableError
from bridge.runtime.command_names import renamed

REDIS_TROUBLES = (redis_errors.RedisError, OSError, TimeoutError)
"""Everything by which redis-py says that something did not work; ``diagnose`` tells what."""


class Trouble(msgspec.Struct, frozen=True):
    """A diagnosis."""

    kind: ErrorKind  # how to react to it
    code: str  # the server's word for it, such as READONLY; the error's class name if it gave none
    text: str  # the rest of what it said, without any argument of the command
    advice: str  # what an operator can do; empty where waiting is all


_URL = "BRIDGE_REDIS_URL or BRIDGE_BROKER_URL"
_RIGHTS = "Give this user of Redis the rights that docs/operating.md lists."
_PASSWORD = f"Put a user and a password that this Redis knows into {_URL}."
_SENTINELS = "Put the sentinels' password into BRIDGE_SENTINEL_PASSWORD."
_CLUSTER = "The bridge needs one Redis, or a master behind Sentinel; this is a node of a Redis Cluster."
_COMMANDS = "The bridge needs a Redis 7.0 or later, with all of its commands and with scripts."
_FULL = "It is full: raise its maxmemory, let workers drain its queues, or discard dead letters."
_ROLE = f"It is no master (any more); the bridge connects anew. If this stays, {_URL} names a replica."
_TLS = f"Its certificate or its TLS is not as {_URL} says."
_DATABASE = f"Let {_URL} end in a database number that this Redis has, such as /0."
_OTHER = "This is not expected of a Redis 7.0 or later; see its log, and report it if it is one."

_BY_CODE: Final[Mapping[str, tuple[ErrorKind, str]]] = {
    "OOM": (ErrorKind.TRANSIENT, _FULL),
    "MISCONF": (ErrorKind.TRANSIENT, "It cannot save to its disk: see its log, and make room there."),
    "NOREPLICAS": (ErrorKind.TRANSIENT, "Too few replicas keep up with it (min-replicas-to-write)."),
    "BUSY": (ErrorKind.TRANSIENT, "A script runs there for long; SCRIPT KILL ends it."),
    "CLUSTERDOWN": (ErrorKind.TRANSIENT, _CLUSTER),
    "READONLY": (ErrorKind.WRONG_PEER, _ROLE),
    "UNBLOCKED": (ErrorKind.WRONG_PEER, _ROLE),
    "MOVED": (ErrorKind.WRONG_PEER, _CLUSTER),
    "ASK": (ErrorKind.WRONG_PEER, _CLUSTER),
    "CROSSSLOT": (ErrorKind.PERMANENT, _CLUSTER),
    "NOPERM": (ErrorKind.PERMANENT, _RIGHTS),
    "NOAUTH": (ErrorKind.PERMANENT, _PASSWORD),
    "WRONGPASS": (ErrorKind.PERMANENT, _PASSWORD),
    "DENIED": (ErrorKind.PERMANENT, "It is in protected mode: give it a password, or an address to listen on."),
    "NOPROTO": (ErrorKind.PERMANENT, _COMMANDS),
    "WRONGTYPE": (ErrorKind.PERMANENT, "A key of the bridge holds something else: sse-bridge status names it."),
}
"""By the first word of the reply. Any other word (LOADING, MASTERDOWN, TRYAGAIN, …) may pass, and is waited for."""

REFUSED_WHOLE = WRITES_REFUSED | {"NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN", "BUSY"}
"""Codes with which a command is refused before any of it is done, a script that writes as well."""

_BY_TEXT: Final[Sequence[tuple[str, ErrorKind, str]]] = (
    ("max number of clients", ErrorKind.TRANSIENT, "It has too many connections (maxclients)."),
    ("unknown command", ErrorKind.PERMANENT, _COMMANDS),
    ("unknown subcommand", ErrorKind.PERMANENT, _COMMANDS),
    ("compiling script", ErrorKind.PERMANENT, _COMMANDS),
    ("cluster support disabled", ErrorKind.PERMANENT, "It is no node of a Redis Cluster."),
    ("not allowed in cluster mode", ErrorKind.PERMANENT, _CLUSTER),
    ("db index", ErrorKind.PERMANENT, _DATABASE),
    ("password", ErrorKind.PERMANENT, _PASSWORD),
    ("authenticationerror", ErrorKind.PERMANENT, _SENTINELS),
    ("certificate_verify_failed", ErrorKind.PERMANENT, _TLS),
    ("wrong_version_number", ErrorKind.PERMANENT, _TLS),
)
"""By what stands in the reply, in small letters, where its first word is ERR, or in a connection's own error."""

_CODES_OF_CLASSES: Final[Mapping[str, str]] = {
    "OutOfMemoryError": "OOM",
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "NoPermissionError": "NOPERM",
    "AuthorizationError": "NOPERM",
    "AuthenticationError": "NOAUTH",
    "AuthenticationWrongNumberOfArgsError": "NOAUTH",
    "AskError": "ASK",
    "MovedError": "MOVED",
    "TryAgainError": "TRYAGAIN",
    "ClusterDownError": "CLUSTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
    "MasterDownError": "MASTERDOWN",
    "NoScriptError": "NOSCRIPT",
    "ExecAbortError": "EXECABORT",
}
"""redis-py takes the code out of the text of these."""

_CODE = re.compile(r"(?:-)?([A-Z]{2,20})(?: |$)")
_INNER_CODE = re.compile(r"@?user_script:? ?[0-9]{0,6}:? ([A-Z]{3,20}) ")
_CLIENT = re.compile(r", \w{0,10}<")
"""How the description of a client begins, of redis-py 5 and later."""
_NO_RIGHT = "user executing the script can't"
"""How Redis says NOPERM from within a script."""
_NO_NUMBER = ("hash value is not an integer", "would overflow")
_NO_SUCH_USER = "invalid username-password"
_NO_MASTER = "No master found"
_CONNECTING = ("connecting to", "Timeout connecting", _NO_MASTER, "No connection available")


def diagnose(error: BaseException) -> Trouble:
    """What is the matter, from whatever a call of redis-py raised."""
    text = _words(error)
    if isinstance(error, redis_errors.ResponseError | redis_errors.AuthenticationError | redis_errors.BusyLoadingError):
        return _of_reply(error, text)
    name = type(error).__name__
    if isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError):
        known = _by_text(text)
        if known is not None:
            return Trouble(known[0], name, text, known[1])
        return Trouble(_kind_of_break(error, text), name, text, "")
    if isinstance(error, redis_errors.InvalidResponse):
        return Trouble(ErrorKind.WRONG_PEER, name, text, "What answers there does not speak the protocol of Redis.")
    return Trouble(ErrorKind.PERMANENT, name, text, _OTHER)


def is_strangers(error: BaseException) -> bool:
    """Whether somebody else wrote what stands under the key, so that nothing can be added to it."""
    trouble = diagnose(error)
    return trouble.code == "WRONGTYPE" or any(words in trouble.text for words in _NO_NUMBER)


def store_error(error: BaseException) -> StoreError:
    """The error to raise in place of one of redis-py's, with a sentence for an operator."""
    trouble = diagnose(error)
    said = " ".join(
        part for part in (f"{trouble.code}: {trouble.text}".rstrip(". ") + ".", renamed(trouble.advice)) if part
    )
    if trouble.kind is ErrorKind.PERMANENT:
        return StoreRefusedError(f"Redis refuses the command for good: {said}", code=trouble.code)
    undone = any(words in trouble.text for words in _CONNECTING)
    return StoreUnavailableError(f"Redis did not take the command: {said}", code=trouble.code, undone=undone)


def _of_reply(error: BaseException, text: str) -> Trouble:
    found = _CODE.match(text)
    code = getattr(error, "status_code", None) or _code_of_class(type(error)) or (found[1] if found else "ERR")
    if code not in _BY_CODE and _by_text(text) is not None:  # until its 8 redis-py took ERR away: that is the next word
        code = "ERR"
    text = text.removeprefix(f"{code} ")
    if code == "NOAUTH" and _NO_SUCH_USER in text:  # redis-py has one class for both
        code = "WRONGPASS"
    # Older servers put a script's trouble behind a common beginning.
    inner = _INNER_CODE.search(text) if code == "ERR" else None
    if inner is not None:
        code = inner[1]
    elif code == "ERR" and _NO_RIGHT in text:
        code = "NOPERM"
    if code in _BY_CODE:
        kind, advice = _BY_CODE[code]
    elif code == "ERR":
        kind, advice = _by_text(text) or (ErrorKind.PERMANENT, _OTHER)
    else:
        kind, advice = ErrorKind.TRANSIENT, ""
    return Trouble(kind, code, text, advice)


def _code_of_class(kind: type) -> str:
    return next((_CODES_OF_CLASSES[one.__name__] for one in kind.__mro__ if one.__name__ in _CODES_OF_CLASSES), "")


def _by_text(text: str) -> tuple[ErrorKind, str] | None:
    small = text[:SERVER_WORDS_CHARS_MAX].lower()
    return next(((kind, advice) for words, kind, advice in _BY_TEXT if words in small), None)


def _kind_of_break(error: BaseException, text: str) -> ErrorKind:
    """A server that cannot be reached, or does not answer in time, is away; what broke must be made anew."""
    if isinstance(error, TimeoutError | redis_errors.TimeoutError | ConnectionRefusedError):
        return ErrorKind.TRANSIENT
    if any(words in text for words in _CONNECTING):
        return ErrorKind.TRANSIENT
    if isinstance(error, redis_errors.ConnectionError | ConnectionError):
        return ErrorKind.WRONG_PEER
    return ErrorKind.TRANSIENT


def _words(error: BaseException) -> str:
    """What was said, on one line; without the command's arguments, which may be somebody's data."""
    text = str(error.args[0]) if error.args else str(error)
    text = text.rpartition(" of pipeline caused error: ")[2].partition(", with args beginning with")[0]
    if text.startswith(_NO_MASTER):
        text = _without_clients(text)
    return " ".join(text[:SERVER_WORDS_CHARS_MAX].split())


def _without_clients(text: str) -> str:
    """What each sentinel answered; redis-py puts the description of a whole client before it, its options included."""
    asked, *answers = text.split("> - ")
    said = dict.fromkeys(_CLIENT.split(answer)[0] for answer in answers)
    return f"{asked.partition(' : ')[0]}: {', '.join(said)}" if said else asked
