"""``Told``: what a docstring tells, by sections; and how its text becomes Markdown."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import griffe

LITERAL = re.compile(r"``(.+?)``", re.DOTALL)
PAGE = re.compile(r"(?<![\w/(])docs/([\w/-]+\.md)")
BLOCK = re.compile(r"::\n\n((?:    .*(?:\n|$)|\n)+)")

Link = Callable[[str], str]
"""The Markdown of a name in double backticks."""


@dataclass(slots=True)
class Told:
    """What a docstring tells."""

    summary: str = ""  # its first paragraph
    text: str = ""  # what follows it, but for the sections
    parameters: dict[str, str] = field(default_factory=dict)  # of a class its attributes, too
    returns: str = ""
    raises: list[tuple[str, str]] = field(default_factory=list)  # exception and when
    example: str = ""  # Python

    @property
    def whole(self) -> str:
        """All of its prose."""
        return "\n".join([self.summary, self.text, self.returns, *self.parameters.values()])


def told_by(thing: Any) -> Told:
    """What the docstring of something tells; empty if it has none."""
    told = Told()
    for section in thing.docstring.parsed if thing.docstring else ():
        match section.kind:
            case griffe.DocstringSectionKind.text:
                summary, _, rest = section.value.strip().partition("\n\n")
                told.text = "\n\n".join(part for part in (told.text, summary if told.summary else "", rest) if part)
                told.summary = told.summary or summary
            case griffe.DocstringSectionKind.parameters | griffe.DocstringSectionKind.attributes:
                told.parameters |= {item.name.lstrip("*"): item.description for item in section.value}
            case griffe.DocstringSectionKind.returns | griffe.DocstringSectionKind.yields:
                told.returns = _sentence(section.value[0])
            case griffe.DocstringSectionKind.raises:
                told.raises = [(str(item.annotation), item.description) for item in section.value]
            case griffe.DocstringSectionKind.admonition if section.title == "Example":
                told.example = section.value.description
    return told


def _sentence(item: Any) -> str:
    # What stands before a colon may be a type, as griffe takes it, and is none in our docstrings.
    before = f"{item.annotation}: " if isinstance(item.annotation, str) else ""
    return before + str(item.description)


def markdown(text: str, link: Link) -> str:
    """The Markdown of a docstring's text: code, links to names and pages, blocks; a line each paragraph."""
    blocks: list[str] = []

    def keep(found: re.Match[str]) -> str:
        blocks.append(python(re.sub(r"^    ", "", found[1].strip("\n"), flags=re.MULTILINE)))
        return f":\n\n\0{len(blocks) - 1}\n\n"

    text = BLOCK.sub(keep, text)
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip())
    text = LITERAL.sub(lambda found: link(found[1]), text)
    text = PAGE.sub(lambda found: f"[docs/{found[1]}](../{found[1]})", text)
    return re.sub(r"\0(\d+)", lambda found: blocks[int(found[1])], text)


def python(code: str) -> str:
    """A block of code; of a doctest what is typed."""
    lines = [line[4:] if line.startswith((">>> ", "... ")) else line for line in code.splitlines()]
    return "\n".join(["```python", *lines, "```"])
