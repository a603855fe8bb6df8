"""docs/vm/known.md: who knows which field on which system is what the code says, of listings as full as they can be."""

import re
import sys
from collections.abc import Set
from pathlib import Path
from typing import Any

import pytest

from kernelrecords import build
from pages import PAGE, needs_proc
from strongroom import _native, vm
from strongroom._os import entries, mappings
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError

TABLE = Path(__file__).resolve().parents[2] / "docs" / "vm" / "known.md"
COLUMNS = ("Linux", "Windows", "macOS", "FreeBSD", "NetBSD", "OpenBSD")
NAMES = {"macOS": "darwin", "FreeBSD": "freebsd", "NetBSD": "netbsd", "OpenBSD": "openbsd"}
#: A private and a shared mapping of a file, all of it told that each system tells.
FILE = {"vn_fileid": 9, "path": b"/x", "protection": 5}
FULL: dict[str, list[dict[str, Any]]] = {
    "darwin": [{"share_mode": mode, "vst_ino": 9, "path": b"/x", "protection": 5} for mode in (1, 4)],
    "freebsd": [{"type": 2, "status": 1, "flags": flags, **FILE} for flags in (1, 0)],
    "netbsd": [{"type": 2, "flags": flags, **FILE} for flags in (1, 0)],
    "openbsd": [{"etype": etype, "protection": 5} for etype in (5, 1)],
}

#: Two private pages.
OWN: dict[str, dict[str, Any]] = {
    "darwin": {"share_mode": 2, "inheritance": 1, "protection": 3},
    "freebsd": {"type": 3, "protection": 3},
    "netbsd": {"flags": 1, "inheritance": 1, "protection": 3},
    "openbsd": {"etype": 4, "inheritance": 1, "protection": 3},
}


def placed(system: str, start: int) -> dict[str, int]:
    """Two pages, as the fields of a record."""
    return {"address": start, "size": 2 * PAGE} if system == "darwin" else {"start": start, "end": start + 2 * PAGE}


def first_page(pid: int, start: int, end: int) -> list[tuple[int, int, bool, None, None]]:
    """What mincore tells where only the first page is in memory."""
    return [(start, start + PAGE, True, None, None)]


def lacking(*arguments: object) -> None:
    """What is said where there is no mincore."""
    raise SystemCallError("mincore", NO_SUCH_CALL)


def told() -> dict[tuple[str, str], str]:
    """The first word of each cell, by field and system."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    begin = next(index for index, line in enumerate(lines) if line.startswith("| field |"))
    assert lines[begin] == f"| field | {' | '.join(COLUMNS)} |"
    cells: dict[tuple[str, str], str] = {}
    for line in lines[begin + 2 : lines.index("", begin)]:
        fields, *words = line.strip("| ").split(" | ")
        for field in re.findall(r"`(\w+)`", fields):
            cells |= {(field, system): word.split()[0] for system, word in zip(COLUMNS, words, strict=True)}
    return cells


def test_all_fields_are_in_the_table() -> None:
    """Each field of a PageInfo, on each system, and no others."""
    assert {field for field, _ in told()} == set(vm.PageInfo._fields)
    assert set(told().values()) == {"system", "inferred", "strongroom", "-"}


def _known(rows: list[vm.PageInfo]) -> dict[str, set[str | None]]:
    return {field: {row.known_by(field) for row in rows} for field in vm.PageInfo._fields}


def _compare(system: str, rows: list[vm.PageInfo], untold: Set[str] = frozenset()) -> None:
    for field, knowers in _known(rows).items():
        word = told()[field, system]
        if field in untold:
            continue
        if word == "-":
            assert knowers == {None}, field
        else:
            assert word in knowers, field


@needs_proc
def test_linux() -> None:
    """This machine's own listing."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux")
    with vm.allocate(2 * PAGE) as region:
        region.write(0, b"1337")
        _compare("Linux", list(vm.regions(None, "pages")))


@pytest.mark.skipif(sys.platform != "win32", reason="needs Windows, or Wine")
def test_windows() -> None:
    """Windows' own listing; what Wine does not tell is named by ``unread``."""
    with vm.allocate(2 * PAGE) as region:
        region.write(0, b"1337")
        listing = vm.regions(None, "pages")
        _compare("Windows", list(listing), {"shared_size", "is_locked", "share_count"} if listing.unread else set())


@pytest.mark.parametrize("system", NAMES)
def test_others(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing made of records, with a region of strongroom's at the end of it."""
    if sys.platform == "win32":
        pytest.skip("Windows knows by itself what is inferred elsewhere")
    name = NAMES[system]
    with vm.allocate(2 * PAGE) as region:
        starts = (PAGE, 3 * PAGE, region.address)
        records = zip(starts, (*FULL[name], OWN[name]), strict=True)
        raw = b"".join(build(name, **placed(name, start), **record) for start, record in records)
        monkeypatch.setattr(entries, "PLATFORM", name)
        monkeypatch.setattr(mappings, "LISTS_TEXT", False)
        monkeypatch.setattr(_native, "read_entries", lambda pid, is_detailed: (raw, raw))
        monkeypatch.setattr(_native, "page_runs", lacking if name == "openbsd" else first_page)
        listing = vm.regions(None, "pages")
        assert [row.secured for row in listing] == ([None, None, 0] if listing.unread else [None] * 3 + [0, 0])
        assert (listing[-1].state, listing[-1].known_by("allocation")) == ("committed", "strongroom")
        _compare(system, list(listing))
