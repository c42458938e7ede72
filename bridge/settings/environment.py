"""Reading ``BRIDGE_*``; the only reader of the environment. Each process judges what it uses, and no more."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, overload

from bridge.model.errors import SettingsError
from bridge.model.plain_text import plain_logger
from bridge.settings.declaring import PREFIX, Declaration, environment_name
from bridge.settings.names import is_injected, mistyped, resembled
from bridge.settings.parts import P, Part, contradictions, unjudged
from bridge.settings.processes import DECLARATIONS, Process, Settings, parts_for, readers_of

logger = plain_logger(__name__)

NAME_CHARS_MAX = 100
"""Characters that are shown of an unknown name."""
Reader: TypeAlias = type[Part] | Process | Iterable[Process] | None


@dataclass(slots=True)
class Reading:
    """What the environment says to some processes."""

    settings: Settings  # every value that could be read, whoever reads it; usable only if there are no faults
    faults: list[str] = field(default_factory=list)  # why these processes must not start, one sentence each
    remarks: list[str] = field(default_factory=list)  # what may be a mistake and harms none of them


@overload
def load_settings(environ: Mapping[str, str] | None = None, *, for_: type[P], **overrides: Any) -> P: ...
@overload
def load_settings(
    environ: Mapping[str, str] | None = None, *, for_: Process | Iterable[Process] | None = None, **overrides: Any
) -> Settings: ...
def load_settings(environ: Mapping[str, str] | None = None, *, for_: Reader = None, **overrides: Any) -> Part:
    """Read ``BRIDGE_*`` from the environment. What may be a mistake and does no harm is logged as a warning.

    Args:
        environ: defaults to ``os.environ``.
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
    environ = os.environ if environ is None else environ
    parts = parts_for(for_)
    reading = Reading(Settings())
    values: dict[str, Any] = {}
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
