"""``faults``: what the docstrings of an entry point leave out, a sentence each."""

from collections.abc import Iterator
from typing import Any

from reference.entry_points import EntryPoint, PublicName
from reference.inherited import described, docstring_of, named_as_alike
from reference.names import Names
from reference.raising import is_a, raised_by
from reference.signatures import is_enum, is_exception, is_fixture, is_protocol, members_of, parameters_of


def faults(point: EntryPoint, names: Names) -> Iterator[str]:
    """What is wanting: a docstring, a word about a parameter, an exception that is raised; or what is there no more."""
    for entry in point.entries:
        for name, thing in _things(point, entry):
            yield from (f"{name} {fault}." for fault in _faults_of(thing))
    for thing in names.others():
        if thing.docstring is None:
            yield f"{thing.path}, in a signature of {point.path}, has no docstring."


def _things(point: EntryPoint, entry: PublicName) -> Iterator[tuple[str, Any]]:
    yield f"{point.path}.{entry.name}", entry.thing
    for member in members_of(entry.thing) if entry.thing.is_class else ():
        yield f"{point.path}.{entry.name}.{member.name}", member


def _faults_of(thing: Any) -> Iterator[str]:
    told = docstring_of(thing)
    if not told.summary:
        yield "has no docstring"
        return
    if thing.is_class and is_enum(thing):
        yield from _member_faults(thing, told.whole)
        return
    given = [] if _is_called_by_us(thing) else parameters_of(thing)
    others = [docstring_of(one) for one in named_as_alike(thing)]
    said = [*described(thing), *(name for other in others for name in other.parameters)]
    for name in (one.name for one in given):
        if name not in said and not any(f"``{name}``" in one.whole for one in (told, *others)):
            yield f"does not describe its parameter {name!r}"
    if thing.is_function and (gone := told.parameters.keys() - {one.name for one in given}):
        yield f"describes {', '.join(sorted(gone))}, which it does not take"
    raises = [name for one in (told, *others) for name, _ in one.raises]
    for error in sorted(raised_by(thing)):
        if not any(is_a(error, name) or is_a(name, error) for name in raises):
            yield f"raises {error}, and does not say so"


def _is_called_by_us(thing: Any) -> bool:
    """Whether nobody else calls it: fixtures, what others implement, what we raise."""
    return is_fixture(thing) or (thing.is_class and (is_protocol(thing) or is_exception(thing)))


def _member_faults(thing: Any, whole: str) -> Iterator[str]:
    if "docs/" in whole:  # a page has them
        return
    for name, member in thing.members.items():
        if member.is_attribute and member.value is not None and not name.startswith("_") and member.docstring is None:
            yield f"does not say what {name} is"
