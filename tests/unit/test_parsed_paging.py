"""What Linux says of paging in text and words: read right, or refused with one error that quotes nothing."""

import random
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import vm
from strongroom._os import layouts, pagefiles, pagetable, procfs, texts
from strongroom.exceptions import SystemCallError

SWAPS = """\
Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/zram0                              partition\t4194300\t\t1024\t\t100
/var/a\\040swap\\134file\\040(deleted)      file\t\t49148\t\t0\t\t-2
/dev/mapper/vg-swap                     partition\t9007199254740988\t8\t\t32767
"""
STAT = "4711 (a ) ( b) S 1 4711 4711 34816 4711 4194304 2858 6563 17 3 3 2 6 0 20 0 1 0 2596787 17002496 3356 " + (
    "18446744073709551615 94495242313728 94495242314069 140731730935392 0 0 0 0 16781312 2 0 0 0 17 1 0 0 0 0 0 1 2 3 "
    "4 5 6 7 0\n"
)
CPUINFO = "processor\t: 0\nflags\t\t: fpu la57\naddress sizes\t: 46 bits physical, 57 bits virtual\n\nprocessor\t: 1\n"


def reference_swaps(text: str) -> list[tuple[Any, ...]] | None:
    """The same by another road: one expression for each row. ``None`` if it is no such file."""
    head, *rows = text.split("\n")
    if re.fullmatch(r"\s*Filename\s+Type\s+Size\s+Used\s+Priority\s*", head) is None or not rows or rows.pop() != "":
        return None
    found: list[tuple[Any, ...]] = []
    for row in rows:
        match = re.fullmatch(r"\s*(\S+)\s+(file|partition)\s+([0-9]+)\s+([0-9]+)\s+(-?[0-9]+)\s*", row)
        if match is None or max(map(len, match.groups()[2:4])) > 20 or len(match[5].lstrip("-")) > 20:
            return None
        path, kind, size, used, priority = match.groups()
        if re.search(r"\\(?!011|012|040|134)", path) or int(used) > int(size):
            return None
        for digits, character in (("011", "\t"), ("012", "\n"), ("040", " "), ("134", "\0")):
            path = path.replace("\\" + digits, character)
        path = path.replace("\0", "\\")
        zram = path.startswith("/dev/zram")
        found.append((path, kind == "partition", int(size) * 1024, int(used) * 1024, int(priority), zram))
    return found


def reference_stat(text: str) -> tuple[int, int] | None:
    """The same by one expression."""
    match = re.fullmatch(r"-?[0-9]{1,20} \(.*\) .((?: -?[0-9]{1,20}){41,})\n", text)
    numbers = match[1].split() if match else []
    if not match or "\n" in text[:-1] or numbers[6].startswith("-") or numbers[8].startswith("-"):
        return None
    return int(numbers[6]), int(numbers[8])


def reference_cpuinfo(text: str) -> tuple[int | None, int | None] | None:
    """The same, line by line."""
    for line in text.splitlines(keepends=True):
        if "address sizes" in line:
            match = re.fullmatch(r"address sizes\s*: (\d\d) bits physical, (\d\d) bits virtual\n", line, re.ASCII)
            if match is None or not all(32 <= int(bits) <= 64 for bits in match.groups()):
                return None
            return int(match[1]), int(match[2])
    return None, None


PARSERS: dict[str, tuple[Callable[[str], Any], Callable[[str], Any], str]] = {
    "swaps": (pagefiles.parse_swaps, reference_swaps, SWAPS),
    "stat": (procfs.parse_faults, reference_stat, STAT),
    "cpuinfo": (layouts.parse_address_sizes, reference_cpuinfo, CPUINFO),
}


def answer(parse: Callable[[str], Any], text: str) -> Any:
    """What a parser says; ``None`` for the one error, which has to be about the file and nothing in it."""
    try:
        return parse(text)
    except SystemCallError as error:
        words = r"read\(/proc/\w+(/stat)?\): .*\. (It|Line [0-9,]+) is not what such a file consists of\."
        return None if re.fullmatch(words, str(error)) else f"another error: {error}"


def test_what_is_whole_is_read() -> None:
    """Paths without the kernel's digits, sizes in bytes, faults behind a name that looks like the end of itself."""
    assert pagefiles.parse_swaps(SWAPS) == [
        ("/dev/zram0", True, 4194300 << 10, 1 << 20, 100, True),
        ("/var/a swap\\file (deleted)", False, 49148 << 10, 0, -2, False),
        ("/dev/mapper/vg-swap", True, 9007199254740988 << 10, 8 << 10, 32767, False),
    ]
    assert pagefiles.parse_swaps(SWAPS.split("\n")[0] + "\n") == []
    assert procfs.parse_faults(STAT) == (2858, 17)
    assert layouts.parse_address_sizes(CPUINFO) == (46, 57)
    assert layouts.parse_address_sizes("processor\t: 0\nBogoMIPS\t: 50.00\n") == (None, None)


@pytest.mark.parametrize("name", PARSERS)
def test_cut_anywhere(name: str) -> None:
    """Cut at each character: refused, or what the reference reads of it; never a wrong number."""
    parse, reference, text = PARSERS[name]
    answers = [answer(parse, text[:size]) for size in range(len(text) + 1)]
    assert answers == [reference(text[:size]) for size in range(len(text) + 1)]
    assert answers[-1] is not None
    assert answers.count(None) > len("address sizes\t: 46 bits physical, 57 bits virtual") - 14


@pytest.mark.parametrize("name", PARSERS)
def test_spoilt_anywhere(name: str) -> None:
    """Thousands of spoilt texts: each is refused, or read as the reference reads it."""
    parse, reference, text = PARSERS[name]
    dice = random.Random(7)
    read = refused = 0
    for _ in range(4000):
        spoilt = list(text)
        for _ in range(dice.randrange(1, 4)):
            place = dice.randrange(len(spoilt))
            spoilt[place : place + dice.randrange(3)] = dice.choice(
                ["", "0", "9" * 22, "-", "\\", "\\040", ")", "\n", " ", "٣"]
            )
        got = answer(parse, "".join(spoilt))
        assert got == reference("".join(spoilt)), "".join(spoilt)
        read, refused = read + (got is not None), refused + (got is None)
    assert read > 50
    assert refused > 50


@pytest.mark.parametrize("name", PARSERS)
@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text(name: str, text: str) -> None:
    """Whatever it is, also behind what is right: no other error."""
    parse, _, whole = PARSERS[name]
    answer(parse, text)
    answer(parse, whole + text)


@pytest.mark.parametrize(
    ("text", "number"), [("3\n", 3), ("65536\n", 65536), ("", None), ("3", None), ("-3\n", None), ("3 \n", None)]
)
def test_files_of_one_number(text: str, number: int | None) -> None:
    """Digits and the end of the line, nothing else; a cut number is none."""
    if number is not None:
        assert texts.number(text, "/proc/x") == number
        return
    with pytest.raises(SystemCallError, match=r"read\(/proc/x\)"):
        texts.number(text, "/proc/x")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (0, (False, False, False, False, 0, 0, 0)),
        (1 << 63 | 1 << 56 | 0x481B97, (True, False, False, True, 0x481B97, 0, 0)),
        (1 << 63 | 1 << 61, (True, False, True, False, 0, 0, 0)),  # without privilege
        (1 << 62 | 1477 << 5 | 1, (False, True, False, False, 0, 1, 1477)),
        (1 << 62 | 1 << 55, (False, True, False, False, 0, 0, 0)),
        (1 << 62 | 1 << 58, (False, False, False, False, 0, 0, 0)),  # a guard page is in no page file
    ],
)
def test_words_of_the_page_table(word: int, expected: tuple[Any, ...]) -> None:
    """Each bit as pagemap.rst has it; cut anywhere it is no word."""
    data = word.to_bytes(8, sys.byteorder)
    assert tuple(pagetable.parse_entry(data)) == expected
    for size in range(8):
        with pytest.raises(SystemCallError, match="pagemap"):
            pagetable.parse_entry(data[:size])


@given(st.binary(min_size=8, max_size=8))
def test_any_word(data: bytes) -> None:
    """A page is in one place at most, and numbers are as large as their bits."""
    entry = pagetable.parse_entry(data)
    assert not (entry.is_present and entry.is_swapped)
    assert entry.is_present or entry.frame == 0
    assert entry.is_swapped or (entry.area, entry.slot) == (0, 0)
    assert entry.frame < 1 << 55
    assert entry.area < 32
    assert entry.slot < 1 << 50


def test_which_page_file_a_number_means() -> None:
    """The first number is the first file; another may be several, since the list leaves out files that are gone."""
    areas = pagefiles.parse_swaps(SWAPS)
    assert pagefiles.candidates(areas, 0, 4096) == areas[:1]
    assert pagefiles.candidates(areas, 1, 4096) == areas[:2]
    assert pagefiles.candidates(areas, 1, 49152 << 10) == areas[:1]  # beyond the second
    assert pagefiles.candidates(areas, 9, 8 << 40) == areas[2:]


@pytest.mark.parametrize(("bits", "levels"), [(48, 4), (57, 5)])
def test_table_indices(bits: int, levels: int) -> None:
    """The indices and the offset in the page put together are the address."""
    address = 0x7F4C_0AE0_1ABC
    found = pagetable.indices(address, bits)
    page = vm.PAGE_SIZE
    assert len(found) == levels or page != 4096
    step = (page // 8).bit_length() - 1
    together = 0
    for index in found:
        together = together << step | index
    assert together * page + address % page == address
