"""Every exception that bridge raises on purpose; a class's docstring is its default message."""

from collections.abc import Mapping
from enum import StrEnum
from importlib.util import find_spec
from typing import Final

BLOCKED = (
    "The broker is blocked by its memory or disk alarm: it takes no messages until there is room. What is on its "
    "queues is worked off meanwhile. `rabbitmqctl status` shows the alarm."
)


class ErrorKind(StrEnum):
    """What an error of Redis or of the broker calls for."""

    TRANSIENT = "transient"
    """Wait: the same server takes the command later (away, starting, busy, full)."""
    WRONG_PEER = "wrong peer"
    """Drop the connection and connect anew, by the same name: its other end is not, or no longer, the one we want."""
    PERMANENT = "permanent"
    """Say it, once, by name and with what to do: nothing changes until an operator changes it."""


class BridgeError(Exception):
    """Something went wrong in the bridge."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class SettingsError(BridgeError):
    """A BRIDGE_* setting is wrong."""


class RegistryError(BridgeError):
    """The registry is not valid.

    Attributes:
        faults: every fault found, one sentence each, in the order of the tables.
    """

    def __init__(self, message: str | None = None, *, faults: tuple[str, ...] = ()) -> None:
        self.faults = faults
        if faults:
            count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
            message = "\n".join([f"The registry has {count}:", *(f"  - {fault}" for fault in faults)])
        super().__init__(message)


class EventRefusedError(BridgeError):
    """The event was not accepted; the message says why and what to do."""


class DeliveryError(BridgeError):
    """The broker did not confirm the events in time."""


class OutsideError(BridgeError):
    """A server did not do what it was asked.

    Attributes:
        code: the server's own word for it, such as READONLY or NOPERM; a class name if it gave none.
        undone: whether surely nothing of it was done: there was no connection, or all was refused.
    """

    def __init__(self, message: str | None = None, *, code: str = "", undone: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.undone = undone


class BrokerError(OutsideError):
    """The broker did not take the messages."""


class BrokerUnavailableError(BrokerError):
    """The broker could not be reached or did not take the messages; trying again may help."""


class BrokerRefusedError(BrokerError):
    """The broker refuses for good: nothing changes until an operator changes it."""


class StoreError(OutsideError):
    """Redis did not do what it was asked."""


class StoreUnavailableError(StoreError):
    """Redis could not be reached or refused a write; trying again may help."""


class StoreRefusedError(StoreError):
    """Redis refuses for good: nothing changes until an operator changes it."""


WRITES_REFUSED = frozenset({"OOM", "MISCONF", "NOREPLICAS", "READONLY"})
"""Codes with which a Redis that can be read takes no writes."""


def as_broker_error(error: StoreError, said: str, *, undone: bool = False) -> BrokerError:
    """The trouble of a Redis that is the broker."""
    kind = BrokerRefusedError if isinstance(error, StoreRefusedError) else BrokerUnavailableError
    return kind(f"{said} {error}", code=error.code, undone=undone or error.undone)


class OperationRefusedError(BridgeError):
    """What was asked for cannot be done as things are; the message says why."""


class PermanentError(BridgeError):
    """This event can never succeed: dead-letter it now, without retries.

    Raise it (or a subclass) from an extractor when trying again cannot help.
    """


class FieldError(PermanentError, ValueError):
    """What an extractor returned cannot stand in a published event; trying again cannot help."""


class IdError(FieldError):
    """This is no id of the kind that the registry says its application uses; trying again cannot help."""


class AddressError(FieldError):
    """This is no address of this registry; trying again cannot help."""


class DecodeError(BridgeError):
    """The envelope or the event in it could not be read."""


class PayloadError(BridgeError):
    """The payload cannot be expressed in JSON, or is too large."""


class UnauthorizedError(BridgeError):
    """The request carries no valid token."""


class MissingExtraError(BridgeError):
    """An optional part of bridge is not installed; several are named with commas."""

    def __init__(self, extra: str, needed_for: str, versions: str = "") -> None:
        word = "extras" if "," in extra else "extra"
        super().__init__(f"{needed_for} needs the {word} '{extra}'{versions}. Run: pip install 'sse-bridge[{extra}]'")


def require_extra(extra: str, needed_for: str, *modules: str) -> None:
    """Refuse before anything is begun that imports ``modules``, which come with an extra.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    if not all(find_spec(module) for module in modules):
        raise MissingExtraError(extra, needed_for)


SERVING_VERSIONS: Final[Mapping[str, str]] = {"redis": "8"}
"""What the extras ``gateway`` and ``ops`` of pyproject.toml install, and no other major release."""
WORKER_VERSIONS: Final[Mapping[str, str]] = {"celery": "5.7", "kombu": "5.7", **SERVING_VERSIONS}
"""What the extra ``worker`` installs, and no other release: workers lean on internals of Celery and kombu."""


def require_versions(extra: str, needed_for: str, wanted: Mapping[str, str]) -> None:
    """Refuse before anything is imported of packages that an application may have in another release.

    Raises:
        MissingExtraError: one is missing or of another release; says which are needed, and which are here.
    """
    here = {name: _version_of(name) for name in wanted}
    if not all(f"{here[name]}.".startswith(f"{version}.") for name, version in wanted.items()):
        raise MissingExtraError(extra, needed_for, f" ({_listed(wanted)}); here is {_listed(here)}")


def _version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" if version else f"no {name}" for name, version in versions.items())


class SpoolError(BridgeError):
    """The spool directory cannot be used."""


class OutboxError(BridgeError):
    """The outbox in the application's database cannot be used."""
