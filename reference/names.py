"""``Names``: where each public name has its heading, and which types of a page's signatures are public nowhere."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import griffe

from reference.docstrings import LITERAL
from reference.entry_points import EntryPoint, PublicName
from reference.inherited import docstring_of, resolved
from reference.signatures import members_of, parameters_of

NUMBER = re.compile(r"[0-9][0-9_.]*")
ERRORS = "bridge.model.errors"


class Names:
    """The names of all entry points, as one of them sees them."""

    def __init__(self, points: list[EntryPoint], point: EntryPoint) -> None:
        self._point = point
        self._targets: dict[str, str] = {}
        found = sorted({*_numbers(point.module.package)})
        self._numbers = {name: worth for name, worth in found if [one for one, _ in found].count(name) == 1}
        self._public = {entry.thing.path for one in points for entry in one.entries}
        for one in [point, *(other for other in points if other is not point)]:
            page = "" if one is point else f"{one.path}.md"
            for name in _headings(one):
                self._targets.setdefault(f"{one.path}.{name}", f"{page}#{anchor(name)}")
                if one is point or not _is_common(name, points):
                    self._targets.setdefault(name, f"{page}#{anchor(name)}")

    def link(self, name: str, scope: str) -> str:
        """A name as code, with a link to its heading if it has one; ``scope`` is the name whose text it stands in."""
        called = name.partition("(")[0]
        target = self._targets.get(f"{scope}.{called}") or self._targets.get(called)
        worth = self._numbers.get(name)
        said = f"`{name}`" if worth is None else f"`{name}` ({worth})"
        return f"[{said}]({target})" if target and called != scope else said

    def index(self, name: str) -> str:
        """As ``link``, on the page that lists all."""
        target = self._targets.get(name.partition("(")[0])
        return f"[`{name}`]({self._on_page(target)})" if target else f"`{name}`"

    def item(self, entry: PublicName) -> str:
        """A name with the first sentence that is told of it, for the page that lists all."""
        said = LITERAL.sub(r"`\1`", " ".join(docstring_of(entry.thing).summary.split()))
        return f"- [`{entry.name}`]({self._on_page(self._targets[entry.name])}): {said}"

    def _on_page(self, target: str) -> str:
        return f"{self._point.path}.md{target}" if target.startswith("#") else target

    def others(self) -> list[Any]:
        """Types of ours in the page's signatures, or raised, that no entry point offers; by name."""
        found: dict[str, Any] = {}
        things = [one for entry in self._point.entries for one in _with_members(entry.thing)]
        todo = [type_ for thing in things for type_ in (*_raised_by(thing), *_types_of(thing))]
        while todo:
            one = todo.pop()
            if one.path not in self._public and one.name not in found:
                found[one.name] = one
                todo += _types_in(one.value) if one.is_attribute else []
        return [found[name] for name in sorted(found)]


def anchor(heading: str) -> str:
    """As GitHub makes them."""
    return "".join(char for char in heading.lower() if char.isalnum() or char in "_-")


def _is_common(name: str, points: list[EntryPoint]) -> bool:
    """Whether several entry points offer a name, and not the first: then it is linked where it is written whole."""
    offering = [point for point in points for entry in point.entries if entry.name == name]
    return len(offering) > 1 and offering[0] is not points[0]


def _numbers(module: Any) -> Iterator[tuple[str, str]]:
    """The constants of a package that are numbers."""
    for name, member in module.members.items():
        if member.is_alias:
            continue
        if member.is_module:
            yield from _numbers(member)
        elif name.isupper() and member.is_attribute and NUMBER.fullmatch(str(member.value)):
            yield name, f"{float(str(member.value).replace('_', '')):,.12g}"


def _headings(point: EntryPoint) -> Iterator[str]:
    for entry in point.entries:
        yield entry.name
        yield from (f"{entry.name}.{member.name}" for member in _with_members(entry.thing)[1:])


def _with_members(thing: Any) -> list[Any]:
    return [thing, *members_of(thing)] if thing.is_class else [thing]


def _raised_by(thing: Any) -> Iterator[Any]:
    for name, _ in docstring_of(thing).raises:
        if (error := resolved(f"{ERRORS}.{name}", thing)) is not None:
            yield error


def _types_of(thing: Any) -> Iterator[Any]:
    functions = [thing, *(thing.overloads or ())] if thing.is_function else [thing]
    for one in functions:
        yield from _types_in(getattr(one, "returns", None) if thing.is_function else getattr(one, "annotation", None))
        for parameter in parameters_of(one):
            yield from _types_in(parameter.annotation)


def _types_in(expression: Any) -> Iterator[Any]:
    for name in _names_in(expression):
        if name.canonical_path.startswith("bridge.") and isinstance(name.parent, griffe.Object):
            thing = resolved(name.canonical_path, name.parent)
            if thing is not None and (thing.is_class or (thing.is_attribute and str(thing.annotation) == "TypeAlias")):
                yield thing


def _names_in(expression: Any) -> Iterable[griffe.ExprName]:
    if not isinstance(expression, griffe.Expr):
        return []
    flat = [expression] if isinstance(expression, griffe.ExprName) else expression.iterate(flat=True)
    return [one for one in flat if isinstance(one, griffe.ExprName)]
