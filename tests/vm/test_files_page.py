"""docs/vm/files.md: each rule of its table is what this system does."""

from pathlib import Path

import pytest

import filerules

PAGE = Path(__file__).resolve().parents[2] / "docs" / "vm" / "files.md"


def table() -> tuple[list[str], dict[str, list[str]]]:
    """The headings of the table of rules, and its rows by their first cell."""
    section = PAGE.read_text(encoding="utf-8").partition("## The rules")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return rows[0], {row[0]: row for row in rows[2:]}


def test_the_page_has_every_rule() -> None:
    """The table has the rules that are tried, in their order, and a cell of each system."""
    headings, rows = table()
    assert headings == ["rule", "Linux", "Windows", "macOS, BSD"]
    assert list(rows) == list(filerules.RULES)
    assert {len(row) for row in rows.values()} == {4}


@pytest.mark.parametrize("rule", filerules.RULES)
def test_the_rule_is_what_the_system_does(rule: str, tmp_path: Path) -> None:
    """What comes out when it is tried here is what the page says of this system."""
    headings, rows = table()
    assert filerules.RULES[rule](tmp_path) == rows[rule][headings.index(filerules.column())]
