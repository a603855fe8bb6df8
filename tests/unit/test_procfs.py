"""The parsers of smaps and status, on text that kernels have printed."""

import mmap
import sys
from pathlib import Path

import pytest

from strongroom._os import procfs

SMAPS = """\
55d0c8a00000-55d0c8a01000 r--p 00000000 fe:00 1234                       /usr/bin/my program (deleted)
Size:                  4 kB
Rss:                   4 kB
VmFlags: rd mr mw me sd
7f0000000000-7f0000001000 ---p 00000000 00:00 0
Size:                  4 kB
Locked:                4 kB
VmFlags: mr mw me lo dc nr dd nh
7f0000001000-7f0000002000 rw-s 00000000 00:0f 6                          /secretmem (deleted)
Size:                  4 kB
ProtectionKey:         0
VmFlags: rd wr sh mr mw ms lo dc dd
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Size:                  4 kB
VmFlags: ex
"""


def test_each_mapping_has_its_addresses_protection_path_and_flags() -> None:
    """Four entries come back in order, with spaces kept in paths and no path where there is none."""
    first, second, third, last = procfs.parse_smaps(SMAPS)
    assert (first.start, first.end, first.permissions) == (0x55D0C8A00000, 0x55D0C8A01000, "r--p")
    assert first.path == "/usr/bin/my program (deleted)"
    assert (second.path, second.permissions) == ("", "---p")
    assert second.flags == {"mr", "mw", "me", "lo", "dc", "nr", "dd", "nh"}
    assert (third.path, "dd" in third.flags) == ("/secretmem (deleted)", True)
    assert (last.start, set(last.flags)) == (0xFFFFFFFFFF600000, {"ex"})


def test_a_listing_without_flags_has_none() -> None:
    """Old kernels and torn listings have no VmFlags line: no flag is invented, none moves to a neighbour."""
    text = SMAPS.replace("VmFlags: mr mw me lo dc nr dd nh\n", "")
    assert [len(m.flags) for m in procfs.parse_smaps(text)] == [5, 0, 9, 1]


@pytest.mark.parametrize("text", ["", "VmFlags: rd wr\n", "Size: 4 kB\nVmFlags: lo\n"])
def test_text_without_a_header_is_no_mapping(text: str) -> None:
    """Flags that belong to nothing are dropped."""
    assert procfs.parse_smaps(text) == []


def test_repr_of_a_mapping_names_what_it_is() -> None:
    """For a failing assertion's sake."""
    assert "rw-s" in repr(procfs.parse_smaps(SMAPS)[2])


def test_a_status_field_is_found_by_its_whole_name() -> None:
    """Similar names are not confused, a missing one is None."""
    text = "Name:\tVmLck: 9\nVmPin:\t       3 kB\nVmLck:\t      64 kB\nCapEff:\t000001ffffffffff\n"
    assert procfs.parse_status(text, "VmLck") == "64 kB"
    assert procfs.parse_status(text, "CapEff") == "000001ffffffffff"
    assert procfs.parse_status(text, "VmSwap") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("name", ["a\r1-2", "a\x0b1-2 rw-p", "a\x1c1-2", "a\x851-2", "a\u20281-2", "a\n1-2 rw-p"])
def test_a_path_that_looks_like_lines(name: str, tmp_path: Path) -> None:
    """A file mapped from a directory with such a name neither breaks the listing nor makes up mappings."""
    directory = tmp_path / name
    directory.mkdir()
    with open(directory / "file", "wb+") as file:
        file.write(b"content")
        file.flush()
        before = len(procfs.read_smaps())
        with mmap.mmap(file.fileno(), 7):
            listed = procfs.read_smaps()
            assert [m.path for m in listed if m.path.endswith("1-2/file") or m.path.endswith("rw-p/file")] != []
            assert abs(len(procfs.read_smaps()) - before) <= 3  # one name may merge with or split a neighbour
            assert all(m.start < m.end and len(m.permissions) == 4 for m in listed)
