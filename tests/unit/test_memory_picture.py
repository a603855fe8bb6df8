"""The picture in a terminal: what it shows of processes written by hand, at every width, coloured and not."""

import io
import random
import re
import textwrap
import time
from typing import Any

import pytest

import memoryrows as rows
from memoryrows import MIB, PAGE, account, nothing, row
from strongroom import vm
from strongroom.report import picture, table, terminal
from strongroom.report.memory import KINDS, MARKS

PLAIN = table.painter(io.StringIO(), {}, terminal.CODES)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


COLOURED = table.painter(Terminal(), {}, terminal.CODES)


def plain(text: str) -> str:
    """The text without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def expected(text: str) -> str:
    """A block of a test, as it stands on the screen."""
    return textwrap.dedent(text).lstrip("\n")


def test_a_service_at_80_columns() -> None:
    """Totals, picture, what stands out, kinds: to the letter."""
    assert terminal.picture(account(rows.service()), 80, PLAIN) == expected("""
        vault, process 4242, user 997 (this command itself)
        mapped 92.5 MiB  resident 20.7 MiB  swapped 5.0 MiB  locked 20 KiB  secret 4 KiB

          55d0c0ba9000  IIIIIiiii·HHHHHHWWWWWh ⋯ 41.4 TiB free
          7f3b44000000  ---------------WWWWWWWWWW·#·LLLDDX!!!!NN·IIIIIiiii·MMMMMMMMMMMMM
          7f3b4aa00000  ·fffffffff ⋯ 775.1 GiB free
          7ffd0f0e1000  SSssss·kkk
          CAPITALS are in memory, small letters are not. Twice the size is one cell
          more; · is a gap.

          # secret: 4 KiB in 1 region; memfd_secret: in no dump, and no other process
            reads it
          X secured: 4 KiB in 1 region; cannot be freed or closed through strongroom
            while the promise lasts
          ! writable and executable: 32 KiB in 1 region; code could be put there and run
          L locked: 20 KiB in 2 regions; kept in memory; only hibernation writes it out
          D droppable: 8 KiB in 1 region; the system may drop it, and never swaps it out
          W swapped: 5.0 MiB in 2 regions; a copy is in the swap now
          N undumpable: 28 KiB in 3 regions; left out of core dumps

                                     regions      mapped    resident     swapped
          I program, library               3     1.2 MiB     608 KiB           0
          F mapped file                    1     1.0 MiB           0           0
          M shared memory                  2    16.0 MiB    16.0 MiB           0
          A private memory                 6     2.1 MiB      68 KiB     2.0 MiB
          H heap                           1     8.0 MiB     4.0 MiB     3.0 MiB
          S stack                          1     132 KiB      36 KiB           0
          K kernel's pages                 1      16 KiB           0           0
          - inaccessible                   1    64.0 MiB           0           0
    """)


def test_a_service_at_40_columns() -> None:
    """Nothing is wider than a narrow terminal, and nothing of it is lost: the two columns that remain are named."""
    text = terminal.picture(account(rows.service()), 40, PLAIN)
    assert max(map(len, text.splitlines())) <= 40
    assert (
        expected("""
        vault, process 4242, user 997 (this
        command itself)
        mapped 92.5 MiB  resident 20.7 MiB
        swapped 5.0 MiB  locked 20 KiB
        secret 4 KiB

          55d0c0ba9000  IIIIIiiii·HHHHHHWWWWWh
                        ⋯ 41.4 TiB free
          7f3b44000000  ---------------WWWWWWWWW
          7f3b481cc000  W·#·LLLDDX!!!!NN·IIIIIii
    """)
        in text
    )
    assert "                        mapped  resident\n  I program, library   1.2 MiB   608 KiB\n" in text
    assert terminal.picture(account(rows.service()), 1, PLAIN) == text  # narrower is not drawn for


def test_a_service_at_200_columns_without_addresses() -> None:
    """A wide terminal has each stretch in one line; without addresses neither those nor the sizes of gaps are told."""
    made = account(rows.service())
    wide = terminal.picture(made, 200, PLAIN).splitlines()
    cells = "---------------WWWWWWWWWW·#·LLLDDX!!!!NN·IIIIIiiii·MMMMMMMMMMMMM·fffffffff"
    assert f"  7f3b44000000  {cells} ⋯ 775.1 GiB free" in wide
    text = terminal.picture(made, 200, PLAIN, has_addresses=False)
    assert f"  {cells} ⋯ free" in text.splitlines()
    lines = "\n".join(terminal.report_lines(made, 200, PLAIN, has_addresses=False))
    assert "/usr/lib/libc.so.6" in lines
    for one in made.regions:
        assert f"{one.address:x}" not in text + lines
    assert "TiB free" not in text


@pytest.mark.parametrize("width", [40, 57, 80, 132, 200])
def test_colour_adds_nothing(width: int) -> None:
    """Without its escapes the coloured picture is the plain one; with them each colour ends before its line does."""
    made = account(rows.service())
    coloured = terminal.picture(made, width, COLOURED)
    assert coloured != plain(coloured)
    assert plain(coloured) == terminal.picture(made, width, PLAIN)
    for line in coloured.splitlines():
        assert line.count("\x1b[0m") * 2 == line.count("\x1b[")
    lines = list(terminal.report_lines(made, width, COLOURED))
    assert list(map(plain, lines)) == list(terminal.report_lines(made, width, PLAIN))


def test_every_letter_has_a_colour() -> None:
    """In memory and not; and no two letters look the same in a legend."""
    for letter in (*KINDS, *MARKS):
        assert {f"{letter}+", f"{letter}-"} <= terminal.CODES.keys()
    assert not KINDS.keys() & MARKS.keys()
    assert len({letter.lower() for letter in (*KINDS, *MARKS)}) == len(KINDS) + len(MARKS)


def test_a_line_for_each_region() -> None:
    """--regions: address, size, access, resident, swapped, letters, name."""
    lines = list(terminal.report_lines(account(rows.service()), 80, PLAIN))
    assert lines[3:7] == [
        "address             size          resident    swapped  what     name",
        "55d0c0ba9000      16 KiB  r--p      16 KiB          0  I        /usr/bin/vault",
        "55d0c0bad000     240 KiB  r-xp      80 KiB          0  I        /usr/bin/vault",
        "55d0c0bf9000     8.0 MiB  rw-p     4.0 MiB    3.0 MiB  HW       [heap]",
    ]
    assert "7f3b48400000       4 KiB  rw-s       4 KiB          0  M#LN     /secretmem (deleted)" in lines
    assert len(lines) == 4 + len(rows.service()) - 1


def test_hostile_names_stay_in_their_line() -> None:
    """A file's name can neither end a line nor command the terminal, in a picture or in lines."""
    name = "/srv/\x1b[2J\x1b]0;x\x07\n\r\u202e\x9b\udcff"
    made = account([row(PAGE, PAGE, type="mapped", path=name)], name="\x1b[31mx\n")
    text = terminal.picture(made, 80, PLAIN) + "\n".join(terminal.report_lines(made, 80, PLAIN))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert r"/srv/\x1b[2J\x1b]0;x\x07\n\r\u202e\x9b\xff" in text
    assert text.startswith(r"\x1b[31mx\n, process 4242")


def test_where_pages_are_not_told() -> None:
    """Nothing told of any: capitals that mean nothing, and it says so. Nothing told of some: question marks."""
    unknown = row(4 * PAGE, 4 * PAGE, resident_size=None, swapped_size=None)
    text = terminal.picture(account([unknown]), 80, PLAIN)
    assert "  AAA\n" in text
    assert "Which of it is in memory is not told here." in text
    text = terminal.picture(account([row(0, PAGE), unknown, row(8 * PAGE, PAGE, resident_size=0)]), 80, PLAIN)
    assert "  A···???a\n" in text or "  A·???a\n" in text
    assert "Of ? it is not told." in text


def test_places_are_where_they_are() -> None:
    """With the pages of a region told one run after the other, its cells show where; without, shares from the left."""
    whole = row(0, 16 * PAGE, resident_size=4 * PAGE, swapped_size=4 * PAGE)
    places = [
        row(0, 8 * PAGE, resident_size=0),
        row(8 * PAGE, 4 * PAGE),
        row(12 * PAGE, 4 * PAGE, resident_size=0, swapped_size=4 * PAGE),
    ]
    (line,) = picture.lines_of(account([whole]), 80)
    assert "".join(cell.char for cell in line.cells) == "AWWaa"
    (line,) = picture.lines_of(account([whole], places=places), 80)
    assert "".join(cell.char for cell in line.cells) == "aaAAW"


@pytest.mark.parametrize(("swapped_pages", "letters"), [(0, "MMmmm"), (5, "MMmmm"), (8, "MWWWW"), (12, "MWWWW")])
def test_shared_memory_in_swap_stands_out(swapped_pages: int, letters: str) -> None:
    """Its page tables do not say which page is in swap, smaps how many: where it is most of them, all show it."""
    told: dict[str, Any] = {"type": "mapped", "is_shared": True}
    whole = row(0, 16 * PAGE, resident_size=4 * PAGE, swapped_size=swapped_pages * PAGE, **told)
    places = [row(0, 4 * PAGE, **told), row(4 * PAGE, 12 * PAGE, resident_size=0, swapped_size=None, **told)]
    (line,) = picture.lines_of(account([whole], places=places), 80)
    assert "".join(cell.char for cell in line.cells) == letters


@pytest.mark.parametrize("count", [1, 2, 50, 5_000])
@pytest.mark.parametrize("per_line", [1, 27, 64, 180])
def test_pictures_have_an_end(count: int, per_line: int) -> None:
    """However many regions: no more lines than were asked for, but for those that end at a gap; none too long."""
    made = account([row(index * 3 * PAGE, PAGE << index % 9) for index in range(0, count * 9, 9)])
    lines = picture.lines_of(made, per_line, 16)
    assert 1 <= len(lines) <= 17
    assert all(1 <= len(line.cells) <= per_line for line in lines)
    addresses = [line.address for line in lines]
    assert addresses == sorted(addresses)
    assert addresses[0] == 0


def test_what_stands_out_is_not_lost_among_thousands() -> None:
    """One locked page among twenty thousand regions has its cell, and one that is secret beside it another or that."""
    many = [row(index * PAGE * 2, PAGE) for index in range(20_000)]
    many[7_777] = row(7_777 * PAGE * 2, PAGE, is_locked=True)
    letters = "".join(cell.letter for line in picture.lines_of(account(many), 64) for cell in line.cells)
    assert letters.count("L") == 1
    many[7_778] = rows.secret(7_778 * PAGE * 2, PAGE)
    letters = "".join(cell.letter for line in picture.lines_of(account(many), 64) for cell in line.cells)
    assert letters.count("#") == 1


def test_gaps_are_told_where_they_are_large() -> None:
    """From a gigabyte on a gap ends its line and is told in figures, the twelve largest; others are a cell."""
    made = account([row(index << 31, PAGE) for index in range(20)])
    lines = picture.lines_of(made, 64)
    assert len(lines) == 13
    assert [line.gap for line in lines] == [(1 << 31) - PAGE] * 12 + [0]
    close = account([row(0, PAGE), row((1 << 30), PAGE)])
    assert ["".join(cell.char for cell in line.cells) for line in picture.lines_of(close, 64)] == ["A·A"]


def test_wrong_widths() -> None:
    """A picture without a cell or a line is a ValueError."""
    for per_line, most in ((0, 16), (80, 0)):
        with pytest.raises(ValueError, match="at least 1 cell"):
            picture.lines_of(account(rows.service()), per_line, most)


def test_hundreds_of_thousands_of_rows_do_not_take_long() -> None:
    """100,000 regions and as many places are a matter of seconds, and of one screen."""
    many = [row(index * 2 * PAGE, PAGE) for index in range(100_000)]
    made = account(many, places=many)
    start = time.process_time()
    text = terminal.picture(made, 80, PLAIN)
    assert time.process_time() - start < 15
    assert "100,000" in text
    assert len(text.splitlines()) < 40


def test_another_users_process() -> None:
    """No regions: totals that everybody may read, the reason, and no picture, which would look like no memory."""
    totals = {"VmSize": 200 * MIB, "VmRSS": 30 * MIB, "VmSwap": 0, "VmLck": 8 * PAGE, "RssAnon": 20 * MIB, "RssFile": 0}
    made = account([], refused="read /proc/4242/smaps: Permission denied. Needs CAP_SYS_PTRACE.", everybody=totals)
    assert terminal.picture(made, 80, PLAIN) == expected("""
        vault, process 4242, user 997 (this command itself)
        mapped 200.0 MiB  resident 30.0 MiB  swapped 0  locked 32 KiB  secret unknown

          read /proc/4242/smaps: Permission denied. Needs CAP_SYS_PTRACE.

        What everybody may read:
          VmSize     200.0 MiB  mapped
          VmRSS       30.0 MiB  resident
            RssAnon   20.0 MiB  of it private memory
            RssFile          0  of it files, programs
          VmSwap             0  swapped
          VmLck         32 KiB  locked
    """)
    assert "\n".join(terminal.report_lines(made, 80, PLAIN)) + "\n" == terminal.picture(made, 80, PLAIN)


@pytest.mark.parametrize(
    ("encoding", "expected_line"),
    [
        ("utf-8", "  55d0c0ba9000  IIIIIiiii·HHHHHHWWWWWh ⋯ 41.4 TiB free"),
        ("latin-1", "  55d0c0ba9000  IIIIIiiii·HHHHHHWWWWWh ... 41.4 TiB free"),
        ("ascii", "  55d0c0ba9000  IIIIIiiii.HHHHHHWWWWWh ... 41.4 TiB free"),
        ("no such", "  55d0c0ba9000  IIIIIiiii.HHHHHHWWWWWh ... 41.4 TiB free"),
    ],
)
def test_terminals_without_the_signs(encoding: str, expected_line: str) -> None:
    """Where a terminal has no such dot another stands there: a question mark would mean that something is not told."""
    text = terminal.spoken(terminal.picture(account(rows.service()), 80, PLAIN), encoding)
    assert expected_line in text.splitlines()
    assert ("more; . is a gap." in text) == (expected_line.count("·") == 0)


def test_long_addresses_stay_in_their_column() -> None:
    """Where somebody asked for addresses beyond 47 bits every line makes room for them."""
    made = account([row(PAGE, PAGE), row(0x1FF_0000_0000_0000, PAGE)])
    text = terminal.picture(made, 40, PLAIN)
    assert "  000000000001000  A ⋯" in text or "  000000000001000  A\n" in text
    assert "  1ff000000000000  A\n" in text
    assert max(map(len, text.splitlines())) <= 40


def test_a_process_without_memory() -> None:
    """A thread of the kernel, or one that has ended: said, and no empty picture."""
    text = terminal.picture(account([]), 80, PLAIN)
    assert "no memory of its own" in text
    assert "CAPITALS" not in text


def test_a_reserved_terabyte_leaves_room_for_the_rest() -> None:
    """A page beside a terabyte has its own cell."""
    made = account([nothing(0, 1 << 40), row(1 << 40, PAGE, is_locked=True)])
    cells = "".join(cell.char for line in picture.lines_of(made, 64) for cell in line.cells)
    assert cells == "-" * 29 + "L"


def _anything(chance: random.Random) -> list[vm.PageInfo]:
    """Rows as no system would tell them, in order."""
    made, at = [], 0
    for _ in range(chance.randrange(60)):
        at += PAGE * chance.choice([0, 0, 1, 5, 1 << 18, 1 << 24])
        size = PAGE * chance.choice([1, 2, 3, 7, 100, 1 << 20])
        told: dict[str, Any] = {name: chance.choice([None, True, False]) for name in FLAGS}
        told |= {name: chance.choice([None, 0, PAGE, size, size + PAGE]) for name in ("resident_size", "swapped_size")}
        told |= {"type": chance.choice(["private", "mapped", "image", ""]), "inode": chance.choice([None, 0, 5])}
        told |= {
            "path": chance.choice([None, "", "[heap]", "/x\x1b<b>", "/secretmem (deleted)", "[stack]", "/memfd:x"])
        }
        told |= {"protection": 1 << chance.randrange(8), "state": chance.choice(["committed", "reserved", "free"])}
        made.append(row(at, size, secured=chance.choice([None, 0, vm.READ_ONLY]), **told))
        at += size
    return made


FLAGS = ("is_locked", "is_undumpable", "is_droppable", "is_shared")


def test_whatever_rows_say() -> None:
    """Rows that make no sense, places that are of other rows: no crash, no line too long, all of it printable."""
    for seed in range(60):
        chance = random.Random(seed)
        made = account(_anything(chance), places=_anything(chance), is_self=chance.random() < 0.5)
        for width in (40, 77, 200):
            text = terminal.picture(made, width, PLAIN, has_addresses=chance.random() < 0.5)
            assert max(map(len, text.splitlines())) <= width, seed
            assert all(char.isprintable() or char == "\n" for char in text)
        assert len(list(terminal.region_lines(made, PLAIN))) == 1 + len(made.seen)
