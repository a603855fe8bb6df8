"""The project's pages, as tests read them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")]


def read(name: str) -> str:
    """Return a page's text by its path in the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def code_blocks(path: Path, language: str) -> list[str]:
    """Return what stands between ```language and ```."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def table(page: str, heading: str) -> dict[str, list[str]]:
    """Return the first table behind a heading: its first column, and the cells beside each."""
    lines = page.partition(heading)[2].split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.split("|")[1:-1]])
    return {cells[0]: cells[1:] for cells in rows}
