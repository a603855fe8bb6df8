"""Garbage in place of what macOS and the BSDs tell: as a second reader has it, or one clear error; never half of it."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelrecords import Row, build, second_reader
from pages import PAGE
from strongroom import vm
from strongroom._os import bsdentries, darwinentries
from strongroom._os.entries import Entry
from strongroom.exceptions import SystemCallError

PARSERS = {"darwin": darwinentries.parse, **bsdentries.PARSERS}
MUTATIONS = 10_000
LETTERS = {
    vm.NO_ACCESS: "---",
    vm.READ_ONLY: "r--",
    vm.READ_WRITE: "rw-",
    vm.EXECUTE: "x--",
    vm.EXECUTE_READ: "r-x",
    vm.EXECUTE_READ_WRITE: "rwx",
}
AT = 0x10000
FILE = {"vn_fsid": 0x1234, "vn_fileid": 9, "path": b"/bin/x"}
MACS = {"vst_dev": 0x1000004, "vst_ino": 9, "path": b"/bin/x"}
RECORDS: dict[str, list[dict[str, Any]]] = {
    "darwin": [
        {"address": 0, "size": AT, "share_mode": 3, "inheritance": 2},
        {"address": AT, "size": PAGE, "protection": 5, "share_mode": 1, "inheritance": 1, "pages_resident": 1, **MACS},
        {"address": AT + PAGE, "size": 2 * PAGE, "protection": 3, "share_mode": 2, "pages_swapped_out": 2},
    ],
    "freebsd": [
        {"type": 2, "start": AT, "end": AT + PAGE, "protection": 5, "flags": 1, "resident": 1, "status": 1, **FILE},
        {"type": 3, "start": AT + PAGE, "end": AT + 4 * PAGE, "protection": 3, "flags": 0x44, "resident": 2},
        {"type": 9, "start": AT + 4 * PAGE, "end": AT + 5 * PAGE},
    ],
    "netbsd": [
        {"type": 2, "start": AT, "end": AT + PAGE, "protection": 5, "flags": 1, "inheritance": 1, **FILE},
        {"start": AT + PAGE, "end": AT + 4 * PAGE, "protection": 3, "flags": 1, "inheritance": 4, "wired_count": 1},
    ],
    "openbsd": [
        {"start": PAGE, "end": PAGE, "fspace": AT - PAGE},
        {"start": AT, "end": AT + PAGE, "protection": 5, "etype": 5, "inheritance": 1, "offset": PAGE},
        {"start": AT + PAGE, "end": AT + 4 * PAGE, "protection": 3, "etype": 0x104, "inheritance": 3, "wired_count": 1},
    ],
}
LISTINGS = {system: b"".join(build(system, **one) for one in records) for system, records in RECORDS.items()}


def _as_told(entry: Entry) -> Row:
    has_inode = entry.inode is not None
    return {
        "start": entry.address,
        "end": entry.address + entry.size,
        "allowed": LETTERS[entry.protection] if entry.protection else None,
        "state": entry.state,
        "type": entry.type,
        "is_shared": entry.is_shared,
        "path": entry.path,
        "offset": entry.file_offset,
        "file": (*entry.device, entry.inode) if has_inode and entry.device else None,
        "sizes": (entry.resident_size, entry.swapped_size),
        "is_locked": entry.is_locked,
        "is_undumpable": entry.is_undumpable,
        "in_child": entry.in_child,
    }


def read(system: str, raw: bytes) -> list[Row] | None:
    try:
        return [_as_told(entry) for entry in PARSERS[system](raw)]
    except SystemCallError as error:
        if "is not what such a listing consists of" not in str(error):
            raise
        return None


@pytest.mark.parametrize("system", LISTINGS)
def test_unspoilt(system: str) -> None:
    """The control: both readers read the whole of it, and the same."""
    rows = read(system, LISTINGS[system])
    assert rows is not None
    assert len(rows) >= 2
    assert rows == second_reader(system, LISTINGS[system])


@pytest.mark.parametrize("system", LISTINGS)
def test_cut_at_every_byte(system: str) -> None:
    """Whole records up to there, or no listing: of a record that was cut nothing is told, least of all a 0."""
    raw = LISTINGS[system]
    whole = read(system, raw)
    assert whole is not None
    lengths = set()
    for size in range(len(raw)):
        rows = read(system, raw[:size])
        assert rows == second_reader(system, raw[:size])
        if rows is not None:
            lengths.add(size)
            assert [row["start"] for row in rows] == [row["start"] for row in whole[: len(rows)]]
    assert 0 in lengths
    assert len(lengths) == len(whole) + (system == "openbsd")  # of which one record is no mapping


@pytest.mark.parametrize("system", LISTINGS)
def test_mutations(system: str) -> None:
    """Bytes changed, taken out, put in and doubled: what the second reader says, in both directions."""
    chance = random.Random(f"entries of {system}")
    outcomes = {"read": 0, "changed": 0, "refused": 0}
    told = LISTINGS[system]
    whole, full = read(system, told), [place for place in range(len(told)) if told[place]]
    for _ in range(MUTATIONS):
        raw = bytearray(told)
        for _ in range(chance.randint(1, 3)):
            # Where something is that counts, more often than in a path's empty room.
            at = chance.choice(full) if chance.random() < 0.6 else chance.randrange(len(told))
            what = chance.random()
            if what < 0.8:
                raw[at : at + 1] = bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))])
            elif what < 0.9:
                del raw[at : at + chance.choice((1, 4, 8, 80))]
            else:
                raw[at:at] = raw[at : at + chance.choice((1, 4, 8, 80))]
        rows = read(system, bytes(raw))
        assert rows == second_reader(system, bytes(raw)), bytes(raw)
        outcomes["refused" if rows is None else "read" if rows == whole else "changed"] += 1
    assert min(outcomes.values()) > 100, outcomes


@pytest.mark.parametrize("system", LISTINGS)
@given(raw=st.binary(max_size=400))
def test_any_bytes(system: str, raw: bytes) -> None:
    """Bytes that are no listing at all."""
    assert read(system, raw) == second_reader(system, raw)


@pytest.mark.parametrize("system", LISTINGS)
@given(heads=st.lists(st.binary(min_size=76, max_size=140), min_size=1, max_size=3))
def test_any_records(system: str, heads: list[bytes]) -> None:
    """Records of the right size that begin with anything."""
    size = {"darwin": 1272, "freebsd": 144, "netbsd": 1128, "openbsd": 80}[system]
    raw = b"".join(head[:size].ljust(size, b"\0") for head in heads)
    if system == "freebsd":
        raw = b"".join((144).to_bytes(4, "little") + raw[place + 4 : place + 144] for place in range(0, len(raw), 144))
    assert read(system, raw) == second_reader(system, raw)
