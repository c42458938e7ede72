"""Reading ``BRIDGE_*``; the only reader of the environment. Each process judges what it uses, and no more.

An application that has a settings file of its own may put what that says beneath the environment.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias, overload

from bridge.model.bounds import INJECTED_CHARS_MAX
from bridge.model.errors import SettingsError
from bridge.model.plain_text import plain_logger
from bridge.settings.declaring import PREFIX, Declaration, environment_name
from bridge.settings.parts import P, Part, contradictions, unjudged
from bridge.settings.processes import DECLARATIONS, Process, Settings, parts_for, readers_of

logger = plain_logger(__name__)

NAME_CHARS_MAX = 100
"""Characters that are shown of an unknown name."""
Reader: TypeAlias = type[Part] | Process | Iterable[Process] | None
"""Who uses settings: by the class of what it reads, by one name or several; None: all."""

_beneath: dict[str, Any] = {}
"""What the application's settings file says, by names without ``BRIDGE_``."""


@dataclass(slots=True)
class Reading:
    """What the environment says to some processes."""

    settings: Settings  # every value that could be read, whoever reads it; usable only if there are no faults
    faults: list[str] = field(default_factory=list)  # why these processes must not start, one sentence each
    remarks: list[str] = field(default_factory=list)  # what may be a mistake and harms none of them


def put_beneath(values: Mapping[str, Any]) -> None:
    """Have ``load_settings`` take these where the environment says nothing; judged when they are read, as that is.

    Args:
        values: by name, in upper case and without ``BRIDGE_``; texts, or values of the settings' types. They replace
            what an earlier call said.
    """
    _beneath.clear()
    _beneath.update(values)


def is_given(name: str) -> bool:
    """Whether the environment, or what was put beneath it, says anything of a setting, by the name of its field."""
    return bool(os.environ.get(environment_name(name))) or name.upper() in _beneath


def overruled() -> list[str]:
    """The names, in the environment, of what was put beneath it and of which it says something else."""
    names = [name for name in _beneath if name.lower() in DECLARATIONS and environment_name(name) in os.environ]
    return [environment_name(name) for name in names if _differs(DECLARATIONS[name.lower()], _beneath[name])]


def _differs(declared: Declaration, value: object) -> bool:
    try:
        return bool(declared.read(os.environ[environment_name(declared.name)].strip()) != declared.read(value))
    except ValueError:  # one of them is told as a fault, or does not count
        return True


@overload
def load_settings(environ: Mapping[str, str] | None = None, *, for_: type[P], **overrides: Any) -> P: ...
@overload
def load_settings(
    environ: Mapping[str, str] | None = None, *, for_: Process | Iterable[Process] | None = None, **overrides: Any
) -> Settings: ...
def load_settings(environ: Mapping[str, str] | None = None, *, for_: Reader = None, **overrides: Any) -> Part:
    """Read ``BRIDGE_*`` from the environment. What may be a mistake and does no harm is logged as a warning.

    Args:
        environ: defaults to ``os.environ``, and what was put beneath it.
        for_: who will use the settings: the class of what it reads, as ``GatewaySettings``, of which one is returned;
            or producer, worker, gateway, ops, cli, or several. Default: all. Values that are wrong and that none of
            them reads keep their defaults.
        overrides: settings by field name that win over the environment.

    Raises:
        SettingsError: one or more settings are wrong, or a name is probably a mistyped one that matters;
            the message lists them all.
    """
    reading = read_settings(environ, for_=for_, **overrides)
    for remark in reading.remarks:
        logger.warning("bridge.settings.remark: %s", remark)
    if reading.faults:
        raise SettingsError("\n".join(["The settings are wrong:", *(f"  - {fault}" for fault in reading.faults)]))
    return unjudged(for_, reading.settings) if isinstance(for_, type) else reading.settings


def read_settings(environ: Mapping[str, str] | None = None, *, for_: Reader = None, **overrides: Any) -> Reading:
    """As ``load_settings``, with everything that there is to say instead of an exception or a log."""
    beneath: Mapping[str, Any] = _beneath if environ is None else {}
    environ = os.environ if environ is None else environ
    parts = parts_for(for_)
    reading = Reading(Settings())
    values: dict[str, Any] = {}
    for key, value in beneath.items():
        if environment_name(key) not in environ and key.lower() not in overrides:
            values |= _read_key(key, value, parts, reading)
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        if is_injected(variable, text.strip()):
            logger.debug("bridge.settings.injected: %s is left alone: a container platform made it.", variable)
        elif (name := variable.removeprefix(PREFIX).lower()) not in DECLARATIONS:
            _judge_unknown(variable, name, environ, parts, reading)
        elif name not in overrides:
            values |= _read(DECLARATIONS[name], text.strip(), parts, reading)
    for name, value in overrides.items():
        if name in DECLARATIONS:
            values |= _read(DECLARATIONS[name], value, (Settings,), reading)
        else:
            reading.faults.append(_unknown(environment_name(name), mistyped(name, DECLARATIONS)))
    reading.settings = unjudged(Settings, reading.settings, **values)
    reading.faults += contradictions(reading.settings, *parts)
    return reading


def _read(declared: Declaration, value: object, parts: Iterable[type[Part]], reading: Reading) -> dict[str, Any]:
    """One value by its name; none, and a fault or a remark, if it is wrong. It may be a secret."""
    try:
        return {declared.name: declared.read(value)}
    except ValueError:
        fault = f"{environment_name(declared.name)} must {declared.demand()}. {declared.about}"
    if any(hasattr(part, declared.name) for part in parts):
        reading.faults.append(fault)
    else:
        readers = " or ".join(sorted(f"the {process}" for process in readers_of(declared.name)))
        reading.remarks.append(f"{fault} It is left alone here: only {readers} reads it.")
    return {}


def _read_key(key: str, value: object, parts: Iterable[type[Part]], reading: Reading) -> dict[str, Any]:
    """As ``_read``, of a settings file, where whatever is no setting is a mistake."""
    name = key.lower()
    if name in DECLARATIONS and key.isupper():
        return _read(DECLARATIONS[name], value, parts, reading)
    if name in DECLARATIONS:
        reading.faults.append(f"{key} is no setting of a settings file: keys are in upper case. Write {key.upper()}.")
        return {}
    name = name.removeprefix(PREFIX.lower())
    reading.faults.append(_unknown(environment_name(key), mistyped(name, DECLARATIONS)))
    return {}


def _judge_unknown(
    variable: str, name: str, environ: Mapping[str, str], parts: Iterable[type[Part]], reading: Reading
) -> None:
    """A fault if it is probably a mistyped setting that one of these parts must not be without."""
    meant = mistyped(name, DECLARATIONS)
    if meant is None:
        meant = resembled(name, (other for other in DECLARATIONS if environment_name(other) not in environ))
    matters = meant and DECLARATIONS[meant].critical and any(hasattr(part, meant) for part in parts)
    (reading.faults if matters else reading.remarks).append(_unknown(variable, meant))


def _unknown(variable: str, meant: str | None) -> str:
    shown = variable[:NAME_CHARS_MAX] if variable.isprintable() else ascii(variable)[:NAME_CHARS_MAX]
    hint = f"did you mean {environment_name(meant)}?" if meant else "see docs/settings.md for the names."
    return f"{shown} is not a setting of this version; {hint}"


# Names that begin like ours and are no setting: a platform's, somebody else's, or mistyped

_ADDRESS = r"[0-9]{1,3}(\.[0-9]{1,3}){3}|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]?"
_ENDPOINT = rf"(tcp|udp|sctp)://({_ADDRESS}|[\w.-]+):[0-9]{{1,5}}"
_NUMBER = "[0-9]{1,5}"

_INJECTED = tuple(
    (re.compile(name, re.ASCII), re.compile(value, re.ASCII | re.IGNORECASE))
    for name, value in (
        # Kubernetes, for each Service of the namespace (enableServiceLinks).
        (r"\w+_SERVICE_HOST", rf"{_ADDRESS}|[\w.-]+"),
        (r"\w+_SERVICE_PORT(_\w+)?", _NUMBER),
        # Kubernetes and linked containers of Docker and Podman.
        (r"\w+_PORT", _ENDPOINT),
        (r"\w+_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)(_START|_END)?", _ENDPOINT),
        (r"\w+_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)_PROTO", "tcp|udp|sctp"),
        (r"\w+_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)_PORT(_START|_END)?", _NUMBER),
        (r"\w+_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)_ADDR", rf"{_ADDRESS}|[\w.-]+"),
        (r"\w+_NAME", r"/[\w.-]+/[\w.-]+"),
    )
)
_LINKED = re.compile(r"\w+_ENV_\w+", re.ASCII)
"""The environment of a linked container, which may hold anything; no setting has such a name."""

_PLACES = frozenset({"url", "uri", "dsn", "host", "address", "server", "dir", "directory", "path", "folder"})
"""Last words of a name that says where something is; people take one for another."""
TYPOS_MAX = 2
SHORT_CHARS = 6
"""In a word of so few letters only one may be mistyped: APP_TOKEN is not OPS_TOKEN."""


def is_injected(name: str, value: str) -> bool:
    """Whether a container platform put the variable there, by the form of its name and of its value."""
    if _LINKED.fullmatch(name):
        return True
    if len(value) > INJECTED_CHARS_MAX:
        return False
    return any(form.fullmatch(name) and shape.fullmatch(value) for form, shape in _INJECTED)


def mistyped(field: str, known: Iterable[str]) -> str | None:
    """The setting of which a field name is a mistyped form: letters wrong, swapped, left out or too many."""
    near = [(distance, other) for other in known if (distance := _typos(field, other)) is not None]
    return min(near)[1] if near else None


def resembled(field: str, known: Iterable[str]) -> str | None:
    """The setting that a field name means in other words: one left out, abbreviated, or taken for its like."""
    return next((other for other in known if _same_meaning(field.split("_"), other.split("_"))), None)


def _typos(field: str, other: str) -> int | None:
    """How many letters are mistyped; None if too many for a mistyped name."""
    words, others = field.split("_"), other.split("_")
    if sorted(words) == sorted(others):
        return 0
    if len(words) != len(others):
        return _distance_within(1, "".join(words), "".join(others))
    found = 0
    for word, meant in zip(words, others, strict=True):
        distance = _distance_within(1 if len(meant) <= SHORT_CHARS else TYPOS_MAX, word, meant)
        if distance is None or (found := found + distance) > TYPOS_MAX:
            return None
    return found


def _distance_within(most: int, one: str, other: str) -> int | None:
    if abs(len(one) - len(other)) > most:
        return None
    found = _distance(one, other)
    return found if found <= most else None


@lru_cache(maxsize=4096)
def _distance(one: str, other: str) -> int:
    """Letters that must be changed, added, dropped or swapped with the next."""
    if not one or not other:
        return len(one) + len(other)
    costs = [
        _distance(one[:-1], other) + 1,
        _distance(one, other[:-1]) + 1,
        _distance(one[:-1], other[:-1]) + (one[-1] != other[-1]),
    ]
    if len(one) > 1 and len(other) > 1 and one[-2:] == other[:-3:-1]:
        costs.append(_distance(one[:-2], other[:-2]) + 1)
    return min(costs)


def _same_meaning(words: list[str], other: list[str]) -> bool:
    if len(words) == len(other):
        *mine, last = words
        *theirs, end = other
        both_places = last in _PLACES and end in _PLACES
        return (mine == theirs and both_places) or all(map(_abbreviates, words, other))
    if len(words) != len(other) - 1:
        return False
    left_out = [other[:at] + other[at + 1 :] for at in range(len(other))]
    return words in left_out and (len(words) > 1 or (other[-1] in _PLACES and words == other[:-1]))


def _abbreviates(word: str, other: str) -> bool:
    """Whether one is the beginning of the other, three letters at the least."""
    short, long = sorted((word, other), key=len)
    return len(short) >= min(3, len(long)) and long.startswith(short)
