"""What macOS and the BSDs tell of mappings, as entries: listings built by their headers, field by field.

Nothing here has run on such a system. That the parsers read where the systems write is asserted by their own headers
when the C files are compiled (``.ci/check_targets.py``); that both have the same numbers is checked here.
"""

import ctypes
import re
import sys
from pathlib import Path
from typing import Any

import pytest

import kernelrecords
from kernelrecords import build
from pages import PAGE
from strongroom import _native, vm
from strongroom._os import bsdentries, darwinentries, entries, mappings
from strongroom.exceptions import NO_SUCH_CALL, SystemCallError

NATIVE = Path(__file__).resolve().parents[2] / "src" / "strongroom" / "native"
AT = 0x10000
elsewhere_than_on_windows = pytest.mark.skipif(
    sys.platform == "win32", reason="needs a Unix: Windows has errors of its own, and knows what is inferred elsewhere"
)
PARSERS = {"darwin": darwinentries.parse, **bsdentries.PARSERS}
CALLS = {"darwin": darwinentries.CALL, **bsdentries.CALLS}
FIELDS = {
    "darwin": ({**darwinentries.FIELDS, "prp_vip.vip_path": (darwinentries.PATH, "s")}, darwinentries.SIZE),
    "freebsd": ({**bsdentries.FREEBSD, "kve_path": (bsdentries.FREEBSD_PATH, "s")}, bsdentries.FREEBSD_SIZE),
    "netbsd": ({**bsdentries.NETBSD, "kve_path": (bsdentries.NETBSD_PATH, "s")}, bsdentries.NETBSD_SIZE),
    "openbsd": (bsdentries.OPENBSD, bsdentries.OPENBSD_SIZE),
}


@pytest.mark.parametrize("system", FIELDS)
def test_offsets_are_those_that_the_headers_assert(system: str) -> None:
    """The places that Python reads at, and the size, are the ones in the C file, which compiles with no others."""
    code = (NATIVE / f"os_{system}_asking.c").read_text(encoding="utf-8")
    asserted = {name: int(place) for name, place in re.findall(r"^AT\((\S+), (\d+)\);$", code, re.M)}
    fields, size = FIELDS[system]
    assert asserted == {name: place for name, (place, _) in fields.items()}
    assert re.findall(r"^_Static_assert\(sizeof\(.*\) == (\d+), ", code, re.M) == [str(size)]
    assert CALLS[system] in code


@pytest.mark.parametrize("system", FIELDS)
def test_the_tests_own_structs_are_laid_out_alike(system: str) -> None:
    """The fixtures' structs come from the headers by another road, and end up at the same offsets."""
    struct = kernelrecords.STRUCTS[system]
    fields, size = FIELDS[system]
    assert ctypes.sizeof(struct) == size
    for name, (place, letter) in fields.items():
        field = getattr(struct, re.sub(r"^.*\.(pri_|vip_)?|^kve_", "", name))
        assert field.offset == place, name
        if letter != "s":
            assert field.size == {"i": 4, "I": 4, "Q": 8, "H": 2}[letter], name


def parsed(system: str, *records: dict[str, Any]) -> list[entries.Entry]:
    return PARSERS[system](b"".join(build(system, **record) for record in records))


def place(system: str, number: int = 0) -> dict[str, int]:
    """The addresses of a record: two pages, with a gap of two before the next."""
    start, end = AT + 4 * number * PAGE, AT + (4 * number + 2) * PAGE
    return {"address": start, "size": end - start} if system == "darwin" else {"start": start, "end": end}


@pytest.mark.parametrize("system", FIELDS)
def test_addresses_and_protections(system: str) -> None:
    """Each combination of read, write and execute, by Windows' names; other bits mean nothing."""
    names = [
        *("NO_ACCESS", "READ_ONLY", "READ_WRITE", "READ_WRITE"),
        *("EXECUTE", "EXECUTE_READ", "EXECUTE_READ_WRITE", "EXECUTE_READ_WRITE"),
    ]
    found = parsed(system, *({**place(system, bits), "protection": bits | 0x70000} for bits in range(8)))
    assert [one.protection for one in found] == [_native.PROTECTIONS[name] for name in names]
    assert [(one.address, one.size) for one in found] == [(AT + 4 * bits * PAGE, 2 * PAGE) for bits in range(8)]
    assert {one.state for one in found} == {"committed"}
    assert all((one.allocation, one.allocation_protection) == (one.address, one.protection) for one in found)


@pytest.mark.parametrize("system", FIELDS)
def test_nothing_is_told_of_what_is_not_there(system: str) -> None:
    """No record is no mapping, and no error: a kernel's thread, a zombie."""
    assert PARSERS[system](b"") == []


@pytest.mark.parametrize(
    ("system", "fields", "expected"),
    [
        # Anonymous memory: private, and what the system does not tell is None.
        ("darwin", {"share_mode": 2, "inheritance": 1}, ("private", False, "", None, "copied")),
        ("darwin", {"share_mode": 3, "inheritance": 2}, ("private", False, "", None, "absent")),
        ("darwin", {"share_mode": 2, "inheritance": 0}, ("mapped", None, "", None, "shared")),
        ("darwin", {"share_mode": 5, "inheritance": 0}, ("mapped", True, "", None, "shared")),
        ("freebsd", {"type": 3}, ("private", None, "", None, None)),
        ("freebsd", {"type": 3, "flags": 1}, ("private", False, "", None, None)),
        ("freebsd", {"type": 3, "flags": 0x100, "path": b"/name"}, ("mapped", True, "/name", None, None)),
        ("netbsd", {"flags": 1, "inheritance": 1}, ("private", False, "", None, "copied")),
        ("netbsd", {"flags": 1, "inheritance": 4}, ("private", False, "", None, "zeros")),
        ("netbsd", {"inheritance": 0}, ("mapped", True, "", None, "shared")),
        ("netbsd", {"type": 5, "inheritance": 0}, ("mapped", True, "", None, "shared")),
        ("openbsd", {"etype": 4, "inheritance": 1}, ("private", False, None, None, "copied")),
        ("openbsd", {"etype": 4, "inheritance": 3}, ("private", False, None, None, "zeros")),
        ("openbsd", {"etype": 4, "inheritance": 0x20}, ("private", False, None, None, "absent")),
        ("openbsd", {"etype": 0, "inheritance": 0}, ("mapped", True, None, None, "shared")),
        # Files, with the offset.
        (
            "darwin",
            {"share_mode": 1, "inheritance": 1, "offset": PAGE, "vst_dev": 0x1000004, "vst_ino": 9, "path": b"/a b"},
            ("mapped", False, "/a b", (PAGE, (1, 4), 9), "copied"),
        ),
        (
            "freebsd",
            {"type": 2, "offset": PAGE, "status": 1, "vn_fsid": 0x12_0000_3456, "vn_fileid": 9, "path": b"/\xff"},
            ("mapped", True, "/\udcff", (PAGE, (0x34, 0x1256), 9), None),
        ),
        ("freebsd", {"type": 2, "offset": PAGE, "vn_fileid": 9}, ("mapped", True, None, (PAGE, None, None), None)),
        (
            "netbsd",
            {"type": 2, "offset": PAGE, "vn_fsid": 0x32ABCD, "vn_fileid": 9, "path": b"/x"},
            ("mapped", True, "/x", (PAGE, (0x2AB, 0x3CD), 9), "shared"),
        ),
        (
            "openbsd",
            {"etype": 5, "offset": PAGE, "inheritance": 1},
            ("mapped", False, None, (PAGE, None, None), "copied"),
        ),
    ],
)
def test_kinds(system: str, fields: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """What is behind the pages, who else sees them, the file, and what a child has."""
    (entry,) = parsed(system, {**place(system), "protection": 3, **fields})
    kind, is_shared, path, file, in_child = expected
    assert (entry.type, entry.is_shared, entry.path, entry.in_child) == (kind, is_shared, path, in_child)
    assert (entry.file_offset, entry.device, entry.inode) == (file or (None, None, None))
    assert (entry.shared_size, entry.proportional_size, entry.share_count, entry.is_droppable) == (None,) * 4


@pytest.mark.parametrize(
    ("system", "fields", "name", "value"),
    [
        ("darwin", {"pages_resident": 2, "pages_swapped_out": 1}, "resident_size", 2 * PAGE),
        ("darwin", {"pages_resident": 2, "pages_swapped_out": 1}, "swapped_size", PAGE),
        ("darwin", {"flags": 1}, "resident_size", None),  # a submap's pages are not counted: 0 would be a lie
        ("darwin", {"flags": 1}, "swapped_size", None),
        ("darwin", {"flags": 1}, "path", None),
        ("darwin", {"user_wired_count": 1}, "is_locked", True),
        ("darwin", {}, "is_locked", False),
        ("darwin", {}, "is_undumpable", None),
        ("freebsd", {"resident": 2}, "resident_size", 2 * PAGE),
        ("freebsd", {"resident": 2}, "swapped_size", None),
        ("freebsd", {"flags": 0x40}, "is_locked", True),
        ("freebsd", {"flags": 4}, "is_undumpable", True),
        ("freebsd", {}, "is_undumpable", False),
        ("netbsd", {"wired_count": 2}, "is_locked", True),
        ("netbsd", {"count": 2}, "resident_size", None),  # the object's pages, not the mapping's
        ("netbsd", {}, "is_undumpable", None),
        ("openbsd", {"wired_count": 1}, "is_locked", True),
        ("openbsd", {"etype": 0x104}, "is_undumpable", True),
        ("openbsd", {"etype": 4}, "is_undumpable", False),
        ("openbsd", {"etype": 4}, "resident_size", None),
    ],
)
def test_sizes_and_flags(system: str, fields: dict[str, Any], name: str, value: object) -> None:
    """What of a mapping is in memory, locked, left out of dumps; ``None`` where nobody tells."""
    (entry,) = parsed(system, {**place(system), "protection": 3, **fields})
    assert getattr(entry, name) == value
    assert type(getattr(entry, name)) is type(value)


@pytest.mark.parametrize(
    ("system", "private", "shared"),
    [
        ("darwin", {"share_mode": 1, "vst_ino": 9, "path": b"/x"}, {"share_mode": 4, "vst_ino": 9, "path": b"/x"}),
        ("freebsd", *({"type": 2, "flags": flags, "status": 1, "vn_fileid": 9, "path": b"/x"} for flags in (1, 0))),
        ("netbsd", *({"type": 2, "flags": flags, "vn_fileid": 9, "path": b"/x"} for flags in (1, 0))),
    ],
)
def test_images(system: str, private: dict[str, Any], shared: dict[str, Any]) -> None:
    """A file of which something is mapped to be executed is an image, in its private mappings; other files are not."""
    inode = "vst_ino" if system == "darwin" else "vn_fileid"
    records = [private, {**private, "protection": 5}, {**private, inode: 10}, shared]
    found = parsed(system, *({**place(system, number), **record} for number, record in enumerate(records)))
    assert [one.type for one in found] == ["image", "image", "mapped", "mapped"]
    without = parsed(system, {**place(system), **private})
    assert [one.type for one in without] == ["mapped"]


@pytest.mark.parametrize(
    ("system", "fields", "expected"),
    [
        ("freebsd", {"type": 9}, [(0, 2)]),
        ("openbsd", {"etype": 0x10}, [(0, 2)]),
        ("openbsd", {"etype": 4, "guard": PAGE}, [(2, 1)]),
        ("openbsd", {"end": AT}, []),
        ("openbsd", {"end": AT, "guard": PAGE}, [(0, 1)]),
    ],
)
def test_reserved_addresses(system: str, fields: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    """Guards and holes: the system's own reservations. OpenBSD's records of no bytes are no mappings."""
    found = parsed(system, {**place(system), "protection": 0, **fields})
    reserved = [
        ((one.address - AT) // PAGE, one.size // PAGE, one.protection) for one in found if one.state == "reserved"
    ]
    assert reserved == [(start, size, 0) for start, size in expected]


@pytest.mark.parametrize("size", [-1, 0, 1, 4, 135, 136, 152, 1161, 1 << 30])
def test_freebsds_records_say_how_long_they_are(size: int) -> None:
    """No length, one that ends before the path, one beyond the end: refused. It is what leads to the next record."""
    raw = bytearray(build("freebsd", **place("freebsd"), path=b"/x"))
    assert len(raw) == 144
    raw[:4] = size.to_bytes(4, "little", signed=True)
    with pytest.raises(SystemCallError, match="Record 1 is not"):
        bsdentries.parse_freebsd(bytes(raw))
    with pytest.raises(SystemCallError, match="Record 2 is not"):
        bsdentries.parse_freebsd(build("freebsd", **place("freebsd", 0)) + bytes(raw))


@pytest.mark.parametrize("system", FIELDS)
@pytest.mark.parametrize("bad", ["turned around", "too high"])
def test_addresses_that_are_none(system: str, bad: str) -> None:
    """A mapping that ends before it begins, or beyond the last address, makes the listing none."""
    top = (1 << 64) - PAGE
    start, end = (top, AT) if bad == "turned around" else (top, top + 2 * PAGE)
    fields = {"address": start, "size": (end - start) % (1 << 64)}
    if system != "darwin":
        fields = {"start": start, "end": end % (1 << 64)}
    with pytest.raises(SystemCallError, match="Record 2 is not") as caught:
        parsed(system, place(system), fields)
    assert caught.value.call == CALLS[system]


@elsewhere_than_on_windows
@pytest.mark.parametrize("system", FIELDS)
def test_regions_of_such_a_system(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole road up to vm.regions: rows, who knows which field, and None for what only that process knows."""
    raw = b"".join(build(system, **place(system, number), protection=3) for number in range(3))
    for module in (entries, mappings):
        monkeypatch.setattr(module, "PLATFORM", system)
    monkeypatch.setattr(mappings, "LISTS_TEXT", False)
    monkeypatch.setattr(_native, "read_entries", lambda pid, is_detailed: (raw, raw))
    listing = vm.regions(1)
    assert [(row.address, row.size) for row in listing] == [(AT + 4 * n * PAGE, 2 * PAGE) for n in range(3)]
    assert (listing.torn, listing.unread) == (False, ())
    assert {(row.locks, row.secured, row.flags) for row in listing} == {(None, None, None)}
    row = listing[0]
    assert [row.known_by(name) for name in ("state", "protection", "allocation", "locks", "flags")] == [
        *("system", "system", "inferred", None, None)
    ]
    assert row.known_by("is_locked") == "system"
    monkeypatch.setattr(_native, "read_entries", lambda pid, is_detailed: (raw, raw[:-1]))
    with pytest.raises(SystemCallError, match="Record 3 is not"):
        vm.regions(1)


@elsewhere_than_on_windows
def test_pages_of_another_process_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """mincore is for one's own: the rows are there, with the sizes that the listing tells, and ``unread`` says why."""

    def lacking(*arguments: object) -> None:
        raise SystemCallError("mincore(another process)", NO_SUCH_CALL)

    raw = build("freebsd", **place("freebsd"), type=3, resident=1)
    monkeypatch.setattr(entries, "PLATFORM", "freebsd")
    monkeypatch.setattr(mappings, "LISTS_TEXT", False)
    monkeypatch.setattr(_native, "read_entries", lambda pid, is_detailed: (raw, raw))
    monkeypatch.setattr(_native, "page_runs", lacking)
    listing = vm.regions(1, "pages")
    assert [(row.size, row.resident_size, row.swapped_size) for row in listing] == [(2 * PAGE, PAGE, None)]
    (reason,) = listing.unread
    assert "mincore(another process): not available on this system" in reason


@elsewhere_than_on_windows
@pytest.mark.parametrize("system", FIELDS)
def test_refusals_in_words(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such process, and who may ask, in each system's own terms."""
    monkeypatch.setattr(mappings, "PLATFORM", system)
    gone = mappings.refusal(SystemCallError(CALLS[system], 3), 4)
    assert isinstance(gone, ProcessLookupError)
    refused = mappings.refusal(SystemCallError(CALLS[system], 1), 4)
    assert isinstance(refused, PermissionError)
    assert (refused.errno, "root" in str(refused), "/proc" in str(refused)) == (1, True, False)


@elsewhere_than_on_windows
def test_guards_are_the_systems_reservations(monkeypatch: pytest.MonkeyPatch) -> None:
    """``reserved`` is known by the system where it is no region of ours."""
    raw = build("freebsd", **place("freebsd"), type=9)
    monkeypatch.setattr(entries, "PLATFORM", "freebsd")
    monkeypatch.setattr(mappings, "LISTS_TEXT", False)
    monkeypatch.setattr(_native, "read_entries", lambda pid, is_detailed: (raw, raw))
    (row,) = vm.regions(1)
    assert (row.state, row.protection, row.known_by("state")) == ("reserved", 0, "system")
