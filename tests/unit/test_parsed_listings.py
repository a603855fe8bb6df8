"""Linux' listings as records: their fields, and that what is no listing is refused by its line's number alone."""

import contextlib
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import needs
import observed_linux
from strongroom import _native
from strongroom.exceptions import SystemCallError

MAPS = b"""\
55894a981000-55894a983000 r--p 00000000 fe:00 260386                     /usr/bin/head
55894a983000-55894a989000 r-xp 00002000 fe:00 260386                     /usr/bin/head
5589632f3000-558963314000 rw-p 00000000 00:00 0                          [heap]
7f4c0ae00000-7f4c0ae01000 rw-s 00000000 00:01 1032                       /secretmem (deleted)
7f4c0ae01000-7f4c0ae02000 ---p 00000000 00:00 0\x20
7f4c0b000000-7f4c0b200000 rw-p 00000000 00:10 7                          /anon_hugepage (deleted)
7f4c0b200000-7f4c0b201000 r--p 00001000 00:2a 9                          /data/\xff x
"""
ROW = b"""\
7f4c0ae00000-7f4c0ae04000 %s 00000000 00:01 1032                       /x
Rss:                   8 kB
Pss:                   3 kB
Shared_Clean:          4 kB
Shared_Dirty:          0 kB
Swap:                  8 kB
Shared_Hugetlb:     2048 kB
Private_Hugetlb:       0 kB
VmFlags: %s\x20
"""
ADDRESS, SIZE, STATE, PROTECTION, TYPE, LOCKS, SHARED, PATH, OFFSET, DEVICE, INODE = 0, 1, 2, 3, 6, 7, 9, 10, 11, 12, 13
SIZES, FLAGS = slice(14, 18), slice(18, 23)


def parsed(text: bytes, is_detailed: bool = False) -> list[tuple[Any, ...]]:
    return _native.parse_listing(tuple, text, is_detailed)


def test_maps() -> None:
    """Protections in Windows' words, types by what is behind the pages, no file where there is none."""
    rows = parsed(MAPS)
    p = _native.PROTECTIONS
    expected = ["READ_ONLY", "EXECUTE_READ", "READ_WRITE", "READ_WRITE", "NO_ACCESS", "READ_WRITE", "READ_ONLY"]
    assert [row[PROTECTION] for row in rows] == [p[name] for name in expected]
    assert [row[TYPE] for row in rows] == ["image", "image", "private", "mapped", "private", "private", "mapped"]
    assert [row[SHARED] for row in rows] == [False, False, False, True, False, False, False]
    assert rows[1][OFFSET : INODE + 1] == (0x2000, (0xFE, 0), 260386)
    assert rows[2][PATH : INODE + 1] == ("[heap]", None, None, None)
    assert rows[6][PATH] == "/data/\udcff x"
    assert {row[LOCKS] for row in rows} == {None}  # another process's: only that one knows
    assert {row[SIZES] + row[FLAGS] for row in rows} == {(None,) * 9}


@pytest.mark.parametrize(
    ("letters", "words", "expected"),
    [
        (b"rw-p", b"rd wr mr mw me ac", (False, False, False, "copied")),
        (b"rw-s", b"rd wr sh", (False, False, False, "shared")),
        (b"rw-s", b"rd wr sh lo dd dc", (True, False, True, "absent")),
        (b"rw-p", b"rd wr wf dd dp", (False, True, True, "zeros")),
    ],
)
def test_flags(letters: bytes, words: bytes, expected: tuple[object, ...]) -> None:
    """Locked, droppable, left out of dumps, and what a child has; with the kernel's own letters."""
    (row,) = parsed(ROW % (letters, words), True)
    assert row[FLAGS] == (*expected, words.decode())


def test_sizes() -> None:
    """Bytes; huge pages count as resident and shared, though Rss leaves them out; of shared ones Pss is not known."""
    text, huge = ROW % (b"rw-p", b"rd"), 2 << 20
    (row,) = parsed(text, True)
    assert row[SIZES] == ((8 << 10) + huge, 8 << 10, (4 << 10) + huge, None)
    own = text.replace(b"Shared_Hugetlb: ", b"Private_Hugetlb:").replace(
        b"Private_Hugetlb:       0", b"Shared_Hugetlb:        0"
    )
    (row,) = parsed(own, True)
    assert row[SIZES] == ((8 << 10) + huge, 8 << 10, 4 << 10, (3 << 10) + huge)


@pytest.mark.parametrize(("line", "index"), [(b"Swap:", 15), (b"Pss:", 17), (b"Shared_Dirty:", 16), (b"VmFlags:", 18)])
def test_what_is_not_told_is_none(line: bytes, index: int) -> None:
    """A line that a kernel does not write makes its field None, not 0 or False."""
    text = ROW % (b"rw-p", b"rd")
    (row,) = parsed(re.sub(rb"(?m)^" + line + rb".*\n", b"", text), True)
    assert row[index] is None


def test_an_error_names_the_line_and_nothing_of_it() -> None:
    """Paths and addresses of a listing do not get into messages."""
    for text, line in ((MAPS + b"secret-path\n", 8), (MAPS[:-1], 7), (MAPS + MAPS, 8)):
        with pytest.raises(SystemCallError, match=rf"^read\(/proc/PID/maps\).*Line {line} ") as caught:
            parsed(text)
        assert not re.search(r"secret|head|558", str(caught.value))


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes(text: bytes, is_detailed: bool) -> None:
    """Any bytes are a listing, or the one error."""
    with contextlib.suppress(SystemCallError):
        parsed(text, is_detailed)


@needs.linux
def test_spoilt_listings_of_this_process() -> None:
    """A real listing, bytes of it changed: what the independent reader makes of it, or the one error."""
    with open("/proc/self/smaps", "rb") as file:
        text = file.read()
    assert len(parsed(text, True)) == len(observed_linux.parse_smaps(text.decode("utf-8", "replace")))
    chance, refused = random.Random(7), 0
    text = text[: [row.start() for row in re.finditer(rb"(?m)^[0-9a-f]+-", text)][16]]  # whole rows: half a one is none
    for _ in range(2000):
        spoilt = bytearray(text)
        for _ in range(chance.randrange(1, 4)):
            spoilt[chance.randrange(len(spoilt))] = chance.choice(b"0123456789abcdef-: \nrwxpkB\xff")
        try:
            rows = parsed(bytes(spoilt), True)
        except SystemCallError:
            refused += 1
            continue
        expected = observed_linux.parse_smaps(spoilt.decode("utf-8", "replace"))
        assert len(rows) == len(expected)
        end = 0
        for row, said in zip(rows, expected, strict=True):
            assert row[ADDRESS] == max(said.start, end)  # of rows that overlap the second is cut
            end = row[ADDRESS] + row[SIZE]
            assert end == said.end
            if row[FLAGS][4] is not None:
                assert frozenset(row[FLAGS][4].split()) == said.flags
    assert 100 < refused < 1900
