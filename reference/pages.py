"""``pages``: docs/api/ as Markdown, a page for each entry point and one that lists them all."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reference.docstrings import Told, markdown, python, told_by
from reference.entry_points import PLUGIN, EntryPoint, PublicName
from reference.inherited import described, docstring_of
from reference.names import Names
from reference.signatures import is_enum, is_exception, is_protocol, members_of, parameters_of, signature
from reference.tutorials import Tutorials

FOLDER = "docs/api"
INDEX = "README.md"
LINK = re.compile(r"\[(docs/[\w/-]+\.md)\]\([^)]*\)")
MADE = "<!-- Generated from the docstrings: make docs -->"


def pages(points: list[EntryPoint], root: Path) -> dict[str, str]:
    """File name → text."""
    tutorials = Tutorials(root, points)
    made = {page_of(point): Page(point, Names(points, point), tutorials).text() for point in points}
    return {name: _without_lost_links(text, root) for name, text in {INDEX: index(points), **made}.items()}


def _without_lost_links(text: str, root: Path) -> str:
    """A docstring may name a page before there is one."""
    return LINK.sub(lambda found: found[0] if (root / found[1]).exists() else found[1], text)


def page_of(point: EntryPoint) -> str:
    """The file of an entry point."""
    return f"{point.path}.md"


def index(points: list[EntryPoint]) -> str:
    """The page that lists every name of every entry point."""
    lines = ["# API reference", "", MADE, ""]
    lines += [
        "What applications import, by the module they import it from; anything else of the package may change without "
        "a word. Types in signatures that are not imported from anywhere are explained at the end of their page.",
        "",
    ]
    for point in points:
        names = Names(points, point)
        lines += [
            f"## [{title(point)}]({page_of(point)})",
            "",
            markdown(told_by(point.module).summary, names.index),
            "",
        ]
        for topic in point.topics:
            lines += [f"**{topic}**", ""] if topic else []
            lines += [*map(names.item, _of(point, topic)), ""]
    return _joined(lines)


def title(point: EntryPoint) -> str:
    """The heading of a page."""
    return f"`{point.path}`, the pytest plugin" if point.path == PLUGIN else f"`{point.path}`"


def _of(point: EntryPoint, topic: str) -> list[PublicName]:
    return [entry for entry in point.entries if entry.topic == topic]


def _joined(lines: Iterable[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class Page:
    """The page of one entry point."""

    def __init__(self, point: EntryPoint, names: Names, tutorials: Tutorials) -> None:
        self._point = point
        self._names = names
        self._tutorials = tutorials

    def text(self) -> str:
        """All of it."""
        told = told_by(self._point.module)
        lines = [f"# {title(self._point)}", "", MADE, "", *self._prose(told, ""), *self._contents()]
        for topic in self._point.topics:
            lines += [f"## {topic}", ""] if topic else []
            for entry in _of(self._point, topic):
                lines += self._entry(entry)
        return _joined([*lines, *self._other_types()])

    def _contents(self) -> list[str]:
        lines = []
        for topic in self._point.topics:
            names = ", ".join(self._names.link(entry.name, "") for entry in _of(self._point, topic))
            lines.append(f"- {topic}: {names}" if topic else f"- {names}")
        return [*lines, ""]

    def _entry(self, entry: PublicName) -> Iterator[str]:
        thing = entry.thing
        yield from ["### " + f"`{entry.name}`", "", *self._called(entry.name, thing), ""]
        yield from self._body(thing, entry.name)
        if shown := self._tutorials.links(self._point, entry.name):
            yield from [f"Shown in {', '.join(shown)}.", ""]
        for member in members_of(thing) if thing.is_class else ():
            name = f"{entry.name}.{member.name}"
            yield from [f"#### `{name}`", "", *self._called(member.name, member), ""]
            yield from self._body(member, entry.name)

    def _called(self, name: str, thing: Any) -> list[str]:
        if thing.is_class and is_enum(thing):
            return []
        if thing.is_class and is_protocol(thing):
            return ["A protocol: any object with these members is one.", ""]
        if thing.is_class and is_exception(thing) and not _own_init(thing):
            return [f"A {self._names.link(str(thing.bases[0]), '')}." if thing.bases else "", ""]
        written = [signature(name, one) for one in (thing.is_function and thing.overloads) or [thing]]
        return [python("\n".join(written))]

    def _body(self, thing: Any, scope: str) -> Iterator[str]:
        told = docstring_of(thing)
        yield from self._prose(told, scope)
        called_with = {one.name for one in parameters_of(thing)}
        for what, wanted in (("Parameters", True), ("Attributes", False)):
            said = [(f"`{name}`", said) for name, said in described(thing).items() if (name in called_with) is wanted]
            yield from self._list(what, said, scope)
        if thing.is_class and is_enum(thing):
            yield from self._list("Members", _enum_members(thing), scope)
        if told.returns:
            yield from [f"**Returns:** {markdown(told.returns, self._linked(scope))}", ""]
        yield from self._list("Raises", [(self._names.link(name, scope), when) for name, when in told.raises], scope)
        if told.example:
            yield from [python(told.example), ""]

    def _prose(self, told: Told, scope: str) -> list[str]:
        link = self._linked(scope)
        return [part for text in (told.summary, told.text) if text for part in (markdown(text, link), "")]

    def _list(self, what: str, items: list[tuple[str, str]], scope: str) -> list[str]:
        link = self._linked(scope)
        lines = [f"- {name}: {markdown(said, link)}" if said else f"- {name}" for name, said in items]
        return [f"**{what}**", "", *lines, ""] if items else []

    def _linked(self, scope: str) -> Any:
        return lambda name: self._names.link(name, scope)

    def _other_types(self) -> list[str]:
        lines = [self._type(thing) for thing in self._names.others()]
        return ["## Other types", "", "In signatures on this page, or raised:", "", *lines, ""] if lines else []

    def _type(self, thing: Any) -> str:
        meant = f" = `{thing.value}`" if thing.is_attribute else ""
        said = markdown(told_by(thing).summary, self._linked(""))
        return f"- `{thing.name}`{meant}, of `{thing.module.path}`: {said}"


def _own_init(thing: Any) -> bool:
    return "__init__" in thing.members


def _enum_members(thing: Any) -> list[tuple[str, str]]:
    return [
        (f"`{name}` = `{member.value}`", member.docstring.value if member.docstring else "")
        for name, member in thing.members.items()
        if member.is_attribute and member.value is not None and not name.startswith("_")
    ]
