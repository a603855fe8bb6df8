"""The pages: their Python runs, their numbers and tables are the code's, their links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import needs
import strongroom
from documents import DOCUMENTS, ROOT, code_blocks, read, table
from strongroom import _native, guarantees, policy, vm
from strongroom._os import terminal
from strongroom.buffers import planning, waiting

PAGES_WITH_PYTHON = [
    *("README.md", "docs/buffers.md", "docs/ends.md", "docs/policy.md", "docs/pydantic.md"),
    *("docs/secret.md", "docs/tutorial.md", "docs/unlocked.md", "docs/vm/README.md", "docs/vm/files.md"),
    *("docs/vm/paging.md", "docs/vm/physical.md", "docs/vm/win32.md"),
]


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=str)
def test_the_python_in_the_documents_runs(page: str, tmp_path: Path) -> None:
    """The Python of each page, one block after the other, runs as it stands, and its assertions hold."""
    blocks = code_blocks(ROOT / page, "python")
    assert blocks
    command = [sys.executable, "-I", "-c", "\n".join(blocks)]
    if "CryptProtectMemory" in command[-1] and needs.WINDOWS:
        pytest.skip("Wine's CryptProtectMemory does nothing, and is refused for that: needs Windows itself")
    if "vm.physical" in command[-1] and needs.WINDOWS:
        pytest.skip("Wine has no physical pages, and Windows wants a privilege for them")
    if "import pydantic" in command[-1] or "from pydantic" in command[-1]:
        pytest.importorskip("pydantic", reason="needs pydantic: pip install '.[test]'")
    if "VolatileBuffer" in command[-1]:
        try:
            strongroom.VolatileBuffer(1).destroy()
            strongroom.FileBuffer(1, tmp_path).destroy()
        except strongroom.UnsupportedError as error:
            pytest.skip(f"needs memory that may vanish, and temporary files on a disk: {error}")
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_no_page_with_python_is_left_out() -> None:
    """The list above is all of them."""
    found = {page.relative_to(ROOT).as_posix() for page in DOCUMENTS if code_blocks(page, "python")}
    assert found == set(PAGES_WITH_PYTHON)


def test_ci_runs_the_readme_command() -> None:
    """``.ci/run`` runs the README's second command to the letter."""
    commands = [block.strip() for block in code_blocks(ROOT / "README.md", "sh")]
    assert commands[0].endswith("strongroom prove")
    assert "README.md" in read(".ci/run")
    assert commands[1].endswith(".venv/bin/pytest")


def test_numbers_in_prose_are_the_constants() -> None:
    """What the documents say of sizes is what the code does."""
    locked = strongroom.LockedBuffer.__doc__ or ""
    assert re.search(rf"plus {_native.CANARY_SIZE}\s+bytes for the canary", locked)
    assert f"up to {_native.SLOT_MAX_SIZE:,} bytes" in locked.lower()
    assert f"up to {planning.SMALL_MAX_SIZE // 1024} KiB" in locked
    assert f"over {terminal.LINE_MAX_SIZE - 2:,} bytes" in (strongroom.Secret.from_prompt.__doc__ or "")
    security = read("SECURITY.md")
    assert f"a {_native.CANARY_SIZE}-byte canary" in security
    assert f"the {_native.KEY_SIZE} bytes they are sealed under" in security
    rules = read("docs/policy.md")
    assert f"looking every {waiting.POLL_SECONDS:g} seconds" in " ".join(rules.split())
    assert f"(for up to {planning.SMALL_MAX_SIZE // 1024} KiB)" in rules
    assert len(guarantees.ALL) == 10
    assert "ten promises" in (guarantees.__doc__ or "")


@pytest.mark.parametrize(
    ("page", "heading"),
    [("SECURITY.md", "## What is required by default"), ("docs/policy.md", "| required by default |")],
)
def test_the_table_of_defaults_is_the_code(page: str, heading: str) -> None:
    """Both pages require by default what planning does."""
    defaults = read(page).partition(heading)[2]
    rows = {"linux": "Linux", "darwin": "macOS, BSD", "windows": "Windows"}
    for platform, title in rows.items():
        row = next(line for line in defaults.splitlines() if line.startswith(f"| {title} "))
        assert set(re.findall(r"`([A-Z_]+)`", row)) == planning.DEFAULT_REQUIRE[platform], title


def test_the_table_of_protections_is_the_code() -> None:
    """docs/vm/README.md has each constant with its value, and refuses on Unix what is refused."""
    rows = [line.split("|")[1:-1] for line in read("docs/vm/README.md").splitlines()]
    values = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows if " 0x" in "".join(cells[1:2])}
    assert {name: int(cells[0], 16) for name, cells in values.items()} == dict(_native.PROTECTIONS)
    if sys.platform == "win32":
        return
    for name, (value, _, meaning) in values.items():
        protection = int(value, 16) | (vm.READ_WRITE if int(value, 16) >= vm.GUARD else 0)
        assert vm.is_possible(protection) == (meaning != "refused" and "views of files only" not in meaning), name


def test_documents_link_to_files_that_exist() -> None:
    """No link inside the project is dead."""
    for page in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_tables_are_whole() -> None:
    """A blank line ends a table in Markdown: rows behind one would be shown as text. Each has its line of dashes."""
    for page in DOCUMENTS:
        lines = ["", *re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S).split("\n"), ""]
        for before, line, after in zip(lines, lines[1:], lines[2:], strict=False):
            if line.startswith("|") and not before.startswith("|"):
                assert re.match(r"\|[-:| ]+$", after), f"{page.name}: {line[:60]}"


def test_the_table_of_fields_is_the_class() -> None:
    """docs/policy.md has each field of a Policy with its words and its default, and so has the operator's example."""
    page = read("docs/policy.md")
    rows = [
        line.split("|")[1:-1] for line in page.partition("## The fields")[2].partition("**`require`")[0].splitlines()
    ]
    told = {cells[0].strip(" `"): (cells[1], cells[2]) for cells in rows if cells and cells[0].startswith(" `")}
    fields = {name: value for name, value in vars(strongroom.Policy).items() if isinstance(value, property)}
    assert told.keys() == fields.keys()
    for name, (words, default) in told.items():
        assert repr(getattr(strongroom.Policy(), name)).replace("'", '"').removesuffix(".0") in default, name
        for word in re.findall(r'"(\w+)"', words):
            value = (word,) if isinstance(getattr(strongroom.Policy(), name), tuple) else word
            arguments: dict[str, Any] = {"directory": "/x", name: value}
            strongroom.Policy(**arguments)
    examples = [policy.parse(text, "the page") for text in re.findall(r'STRONGROOM_POLICY="([^"]+)"', page)]
    assert examples
    for fields_of_one in examples:
        policy.overridden(strongroom.Policy(), fields_of_one)
    assert {name for fields_of_one in examples for name in fields_of_one} == fields.keys()


def test_every_setting_of_the_tests_is_on_their_page() -> None:
    """docs/testing.md has each variable that a test reads, and names files that exist and read it."""
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    reading = re.compile(r'environ(?:\.get\(|\[)"(STRONGROOM_[A-Z0-9_]+)"')
    settings = {name for text in sources.values() for name in reading.findall(text)} - {"STRONGROOM_POLICY"}
    rows = table(read("docs/testing.md"), "Each sample can be made")
    assert {name.strip("`") for name in list(rows)[2:]} == settings
    for name, cells in list(rows.items())[2:]:
        for place in re.findall("`(tests/[^`]+)`", cells[-1]):
            told = [text for path, text in sources.items() if path.is_relative_to(ROOT / place)]
            assert any(name.strip("`") in text for text in told) or "compiling" in "".join(told), (name, place)
