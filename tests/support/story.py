"""A page that tells a story in commands: reading its blocks, comparing what it shows with what happens, refreshing it.

Ids differ from run to run: what the page calls one thing is known by another name in this run, and from where it first
appears the page's name stands for the run's.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"!\[[^\]]*\]\((pictures/[\w-]+\.svg)\)")
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b(?=\w*\d)[0-9a-f]{12}\b")
_VOLATILE = (
    (re.compile(r'(?<=File "/opt/bridge/)(\S+", line )\d+'), r"\g<1><n>"),  # our own lines move without a story in it
    (_ID, "<id>"),
    (re.compile(r"\b\d{13}(?:-\d+)?\b"), "<ms>"),
    (re.compile(r"\bh1:\d+ .*? prefork .*?  +(?=bridge)"), "<worker> "),
    (re.compile(r"\bh1:\d+"), "<worker>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)"), "<time>"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:d|h|min|s)\b"), "<span>"),
    (re.compile(r"\b\d+:\d\d:\d\d\b|-:--:--"), "<left>"),
    (re.compile(r"\b[\d,]+ a second"), "<rate>"),
    (re.compile(r"[▁-█]+"), "<trend>"),
    (re.compile(r"[━╸╺]+(?: [━╸╺]+)*"), "<bar>"),
    (re.compile(r"─+"), "<rule>"),
)
_HOW_FAR = re.compile(r"^.*(?:is paused: |succeeded, \d+ failed +<bar>|not sent yet|, \d+ pending\b).*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Prose:
    """Text between blocks."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block that shows no commands."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A command with what it prints.

    Attributes:
        picture: of it, by its path from the page; empty if there is none.
    """

    command: str
    output: str
    picture: str = ""


def parts_of(page: str) -> Iterator[Prose | Block | tuple[Step, ...]]:
    """A page from top to bottom; commands of one block together."""
    at = 0
    for found in _BLOCK.finditer(page):
        yield Prose(page[at : found.start()])
        at = found.end()
        if found[1] == "console":
            yield tuple(_steps(found[2], page[at:]))
        else:
            yield Block(found[1], found[2])
    yield Prose(page[at:])


def _steps(text: str, behind: str) -> Iterator[Step]:
    pieces = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    picture = _PICTURE.match(behind.lstrip())
    for number, piece in enumerate(pieces, 1):
        command, _, output = piece.partition("\n")
        last = number == len(pieces)
        yield Step(command, output.rstrip("\n"), picture[1] if picture and last else "")


def written(steps: tuple[Step, ...]) -> str:
    """The block that ``parts_of`` read."""
    return "```console\n" + "\n".join(f"$ {step.command}\n{step.output}".rstrip() for step in steps) + "\n```"


@dataclass(slots=True)
class Names:
    """What the page calls by one id and the run by another."""

    of: dict[str, str] = field(default_factory=dict)

    def learn(self, page: str, run: str) -> None:
        """Pair the ids that are new in both, by the order in which they first appear."""
        here = [name for name in dict.fromkeys(_ID.findall(page)) if name not in self.of]
        there = [name for name in dict.fromkeys(_ID.findall(run)) if name not in self.of.values()]
        self.of.update(zip(here, there, strict=False))

    def translate(self, text: str) -> str:
        """Text of the page with the run's ids."""
        return _ID.sub(lambda found: self.of.get(found[0], found[0]), text)


def steady(text: str) -> str:
    """What is the same in every run: no ids, times, rates, widths, nor how far something came before a Ctrl-C."""
    for pattern, name in _VOLATILE:
        text = pattern.sub(name, text)
    text = _HOW_FAR.sub(lambda found: re.sub(r"\d+", "<n>", found[0]), text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def draw(lines: list[str], title: str) -> str:
    """Lines of a terminal, with their colours, as SVG; needs no font but the reader's own."""
    texts = [Text.from_ansi(line.rstrip()) for line in lines]
    width = max(text.cell_len for text in texts)
    console = Console(record=True, width=width, file=StringIO(), force_terminal=True, color_system="truecolor")
    for text in texts:
        console.print(text, soft_wrap=True)
    form = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("font-family: Fira Code, monospace", "font-family: ui-monospace, Menlo, Consolas, monospace")
    svg = console.export_svg(title=title, code_format=form, unique_id="story")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def words_of(svg: str) -> str:
    """What a picture says, for comparison."""
    lines: dict[str, list[str]] = {}
    for y, words in re.findall(r'<text [^>]*?\by="([\d.]+)"[^>]*>(.*?)</text>', svg):
        lines.setdefault(y, []).append(html.unescape(words).replace("\xa0", " "))
    return steady("\n".join(" ".join(words) for words in lines.values()))
