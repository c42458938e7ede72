"""Reading ``BRIDGE_*``; the only reader of the environment. Each process judges what it uses, and no more."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import msgspec
from msgspec import Meta, inspect

from bridge.model.errors import SettingsError
from bridge.model.plain_text import plain_logger
from bridge.settings.contradictions import contradictions
from bridge.settings.model import Settings
from bridge.settings.names import CRITICAL, is_injected, mistyped, resembled
from bridge.settings.processes import Process, chosen, readers_of

logger = plain_logger(__name__)

PREFIX = "BRIDGE_"
NAME_CHARS_MAX = 100
"""Characters that are shown of an unknown name."""


@dataclass(slots=True)
class Reading:
    """What the environment says to some processes.

    Attributes:
        settings: every value that could be read; usable only if there are no faults.
        faults: why these processes must not start, one sentence each.
        remarks: what may be a mistake and harms none of them, one sentence each.
    """

    settings: Settings
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def load_settings(
    environ: Mapping[str, str] | None = None, *, for_: Process | Iterable[Process] | None = None, **overrides: Any
) -> Settings:
    """Read ``BRIDGE_*`` from the environment. What may be a mistake and does no harm is logged as a warning.

    Args:
        environ: defaults to ``os.environ``.
        for_: who will use the settings: producer, worker, gateway, ops or cli, or several. Values that are wrong
            and that none of them reads keep their defaults. Default: all.
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
    return reading.settings


def read_settings(
    environ: Mapping[str, str] | None = None, *, for_: Process | Iterable[Process] | None = None, **overrides: Any
) -> Reading:
    """As ``load_settings``, with everything that there is to say instead of an exception or a log."""
    environ = os.environ if environ is None else environ
    processes = chosen(for_)
    reading = Reading(Settings())
    for name, text in environ.items():
        if not name.startswith(PREFIX):
            continue
        if is_injected(name, text.strip(), environ):
            logger.debug("bridge.settings.injected: %s is left alone: a container platform made it.", name)
        elif (key := name.removeprefix(PREFIX).lower()) not in _HINTS:
            _judge_unknown(name, key, environ, processes, reading)
        elif key not in overrides:
            _read(key, text.strip(), processes, reading)
    for key, value in overrides.items():
        if key in _HINTS:
            _read(key, value, readers_of(key), reading)
        else:
            reading.faults.append(_unknown(environment_name(key), mistyped(key, _HINTS)))
    reading.faults += contradictions(reading.settings, processes)
    return reading


def environment_name(key: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + key.upper()


_HINTS = get_type_hints(Settings, include_extras=True)
_PATHS = frozenset({"spool_dir"})
"""Settings that may hold any bytes."""


def _read(key: str, value: object, processes: frozenset[Process], reading: Reading) -> None:
    """Convert one value into the settings; a fault if the value is wrong and read. It may be a secret."""
    try:
        converted = msgspec.convert(value, _HINTS[key], strict=not isinstance(value, str))
        if isinstance(converted, str) and key not in _PATHS:
            converted.encode()
    except (msgspec.ValidationError, UnicodeEncodeError):
        fault = f"{environment_name(key)} must {_demand(key)}. {_description(key)}"
        readers = readers_of(key)
        if readers & processes:
            reading.faults.append(fault)
        else:
            reading.remarks.append(f"{fault} It is left alone here: only {_listed(readers)} reads it.")
    else:
        # Not by the constructor, which would judge the settings of all processes together.
        msgspec.structs.force_setattr(reading.settings, key, converted)


def _judge_unknown(
    name: str, key: str, environ: Mapping[str, str], processes: frozenset[Process], reading: Reading
) -> None:
    """A fault if it is probably a mistyped setting that one of these processes must not be without."""
    meant = mistyped(key, _HINTS)
    if meant is None:
        meant = resembled(key, (other for other in _HINTS if environment_name(other) not in environ))
    matters = meant is not None and meant in CRITICAL and readers_of(meant) & processes
    (reading.faults if matters else reading.remarks).append(_unknown(name, meant))


def _unknown(name: str, meant: str | None) -> str:
    shown = name[:NAME_CHARS_MAX] if name.isprintable() else ascii(name)[:NAME_CHARS_MAX]
    hint = f"did you mean {environment_name(meant)}?" if meant else "see docs/settings.md for the names."
    return f"{shown} is not a setting of this version; {hint}"


def _listed(processes: Iterable[Process]) -> str:
    return " or ".join(sorted(f"the {process}" for process in processes))


def _demand(key: str) -> str:
    """What a value must be, after "must"."""
    hint = inspect.type_info(_HINTS[key])
    described, kind = (hint.extra or {}, hint.type) if isinstance(hint, inspect.Metadata) else ({}, hint)
    match kind:
        case inspect.IntType(ge=low, le=high):
            return f"be a whole number between {low} and {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"be a number between {low} and {high}"
        case inspect.BoolType():
            return "be 1 or 0, true or false"
        case inspect.StrType(min_length=shortest, max_length=int(longest)):
            return f"be {shortest or 0} to {longest} characters long"
        case inspect.StrType(min_length=int()):
            return "not be empty"
    return f"be {described.get('form', 'text')}"


def _description(key: str) -> str:
    meta: Meta = _HINTS[key].__metadata__[-1]
    return meta.description or ""
