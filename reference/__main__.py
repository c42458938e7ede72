"""``python -m reference``: writes docs/api/ anew."""

from pathlib import Path

from reference.entry_points import entry_points
from reference.pages import FOLDER, pages


def write(root: Path) -> None:
    """Write the pages below a checkout's root, and remove those that have no entry point any more."""
    folder = root / FOLDER
    folder.mkdir(exist_ok=True)
    written = pages(entry_points(root), root)
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    for stale in {page.name for page in folder.glob("*.md")} - written.keys():
        (folder / stale).unlink()


if __name__ == "__main__":
    write(Path(__file__).parents[1])
