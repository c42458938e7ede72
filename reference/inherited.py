"""What a docstring leaves to another: a twin's to the port that it satisfies, a class's to those that it extends."""

import re
from typing import Any

import griffe

from reference.docstrings import Told, told_by
from reference.signatures import is_enum, parameters_of

ALIKE = re.compile(r"\b(?:[Aa]s|[Ss]ee) (?:for |of )?``([\w.]+)``")
FIELD = re.compile(r" {4}\w")
SATISFIES = re.compile(r"(?:^|Satisfies |Implements )((?:``[\w.]+``(?:,? and |, )?)+)")
PORTS = "bridge.ports"
PORT = re.compile(r"``([\w.]+)``")


def docstring_of(thing: Any) -> Told:
    """What is told of something by its own docstring; of a method without one, by the port's."""
    if thing.docstring is None and (promised := _promised(thing)) is not None:
        return told_by(promised)
    return told_by(thing)


def _promised(method: Any) -> Any:
    owner = method.parent
    said = SATISFIES.search(owner.docstring.value) if owner.is_class and owner.docstring else None
    names = [name for text in PORT.findall(said[1]) for name in (text, f"{PORTS}.{text}")] if said else []
    ports = [resolved(name, owner) for name in names]
    return next((port.members[method.name] for port in ports if port is not None and method.name in port.members), None)


def resolved(name: str, scope: Any) -> Any:
    """What a name means where it stands, or from the root of the package; None if nothing of ours."""
    first, _, rest = name.partition(".")
    try:
        path = name if first == "bridge" else ".".join(filter(None, [scope.resolve(first), rest]))
        found = scope.package[path.removeprefix("bridge.")] if path.startswith("bridge.") else None
        return found.final_target if found is not None and found.is_alias else found
    except (KeyError, griffe.GriffeError):
        return None


def named_as_alike(thing: Any) -> list[Any]:
    """What a docstring refers to instead of saying it again: "as ``another``", "see ``Port``" for its method."""
    names = ALIKE.findall(thing.docstring.value) if thing.docstring else []
    found = [one for name in names if (one := resolved(name, thing)) is not None]
    return [*found, *(one.members[thing.name] for one in found if one.is_class and thing.name in one.members)]


def described(thing: Any) -> dict[str, str]:
    """Each parameter, and each attribute that is told of, in the order of the signature, with what is said of it."""
    told: dict[str, str] = {}
    for one in (*reversed(_bases(thing)), thing):
        told |= docstring_of(one).parameters
    if thing.is_class and not is_enum(thing):
        told |= {name: said for name, said in _beside(thing).items() if name not in told}
    order = [one.name for one in parameters_of(thing)]
    return {name: told[name] for name in [*(n for n in order if n in told), *(n for n in told if n not in order)]}


def _bases(thing: Any) -> list[Any]:
    try:
        return list(thing.mro()) if thing.is_class else []
    except (ValueError, griffe.GriffeError):
        return []


def _beside(thing: Any) -> dict[str, str]:
    """Fields that are explained beside them, or by a docstring of theirs."""
    lines = thing.filepath.read_text(encoding="utf-8").splitlines()
    found = {}
    for name, field in thing.members.items():
        if not field.is_attribute or name.startswith("_") or "property" in field.labels:
            continue
        _, comment, said = lines[field.lineno - 1].partition("  # ")
        if not FIELD.match(lines[field.lineno - 1]):
            continue
        if field.docstring is not None:
            found[name] = field.docstring.value
        elif comment and not said.startswith(("noqa", "type:")):
            found[name] = said
    return found
