"""What rows of memory come to: kinds, what stands out, sums, and words that are safe to show."""

from typing import Any

import pytest

import memoryrows as rows
from memoryrows import MIB, PAGE, account, row
from strongroom import vm
from strongroom.report import memory, words


@pytest.mark.parametrize(
    ("told", "letter"),
    [
        ({}, "A"),
        ({"path": "[heap]"}, "H"),
        ({"path": "[stack]"}, "S"),
        ({"path": "[vdso]"}, "K"),
        ({"path": "[anon:jemalloc]"}, "A"),
        ({"path": "[heap]", "inode": 12, "type": "mapped"}, "F"),  # a file that somebody called so
        ({"path": "[heap]", "inode": 12}, "A"),
        ({"type": "image", "path": "/bin/sh"}, "I"),
        ({"type": "mapped", "path": "/etc/passwd"}, "F"),
        ({"type": "mapped", "path": "/dev/zero (deleted)"}, "M"),
        ({"type": "mapped", "path": "/memfd:pulse (deleted)"}, "M"),
        ({"type": "mapped", "path": None}, "M"),
        ({"protection": vm.NO_ACCESS}, "-"),
        ({"state": "reserved", "protection": 0}, "-"),
        ({"type": ""}, "?"),
    ],
)
def test_each_region_is_one_kind(told: dict[str, Any], letter: str) -> None:
    """The letter follows from type, name and protection; a file's name is not believed."""
    assert memory.base_of(row(0, PAGE, **told)) == letter
    assert letter in memory.KINDS


@pytest.mark.parametrize(
    ("told", "marks"),
    [
        ({}, ""),
        ({"is_locked": True}, "L"),
        ({"swapped_size": 1}, "W"),
        ({"is_undumpable": True}, "N"),
        ({"is_undumpable": True, "path": "[vvar]"}, ""),
        ({"is_undumpable": True, "protection": vm.NO_ACCESS, "resident_size": 0}, ""),
        ({"is_undumpable": True, "protection": vm.NO_ACCESS}, "N"),  # closed, and something is in it
        ({"is_droppable": True}, "D"),
        ({"protection": vm.EXECUTE_READ_WRITE}, "!"),
        ({"protection": vm.EXECUTE_READ_WRITE | vm.GUARD}, "!"),
        ({"secured": vm.READ_WRITE}, "X"),
        ({"secured": 0}, ""),
        ({"path": "/secretmem (deleted)", "is_locked": True, "is_undumpable": True}, "#LN"),
        ({"path": "/secretmem"}, ""),  # a file that somebody called so
        ({"is_locked": True, "swapped_size": PAGE, "secured": vm.READ_ONLY, "is_undumpable": True}, "XLWN"),
    ],
)
def test_what_stands_out(told: dict[str, Any], marks: str) -> None:
    """Each property has its letter, in the order in which pictures prefer them."""
    assert memory.marks_of(row(0, PAGE, **told)) == (marks, "")


def test_what_nobody_told_is_not_no() -> None:
    """A field that is None leaves its sum open, in words, figures and JSON; a sum of nothing told is unknown."""
    blank = dict.fromkeys(("is_locked", "is_undumpable", "is_droppable", "swapped_size", "resident_size", "path"))
    assert memory.marks_of(row(0, PAGE, **blank)) == ("", "#LDWN")
    made = account([row(0, PAGE, **blank), row(PAGE, PAGE, is_locked=True)], is_self=False)
    told = {name: str(size) for name, size in made.totals.items()}
    assert told == {
        "mapped": "8 KiB",
        "resident": "4 KiB+",
        "swapped": "unknown",
        "locked": "4 KiB+",
        "secret": "unknown",
    }
    assert [size.or_none for size in made.totals.values()] == [2 * PAGE, None, None, None, None]
    sentences = " ".join(text for _, text in made.standing_out())
    assert "Not told: what is secret, droppable, swapped, undumpable or secured (only that process knows)." in sentences
    assert "Nothing is writable and executable." in sentences


def test_totals_are_sums_of_the_users_half() -> None:
    """The kernel's page that x86 lists for every process counts nowhere; everything else does."""
    totals = account(rows.service()).totals
    listed = rows.service()[:-1]
    assert totals["mapped"].size == sum(one.size for one in listed)
    assert totals["resident"].size == sum(one.resident_size or 0 for one in listed)
    assert totals["swapped"].size == 5 * MIB
    assert totals["locked"].size == 5 * PAGE
    assert totals["secret"].size == PAGE
    assert sum(count for _, count, *_ in account(rows.service()).by_kind()) == len(listed)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (512, "512 B"),
        (PAGE, "4 KiB"),
        (1020 * 1024, "1020 KiB"),
        (MIB, "1.0 MiB"),
        ((1 << 30) - PAGE, "1.0 GiB"),
        (1 << 47, "128.0 TiB"),
        ((1 << 64) - 1, "16.0 EiB"),
    ],
)
def test_sizes_in_words(size: int, text: str) -> None:
    """The largest unit that leaves at least one of it."""
    assert words.size_text(size) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/usr/lib/libc.so.6 (deleted)", "/usr/lib/libc.so.6 (deleted)"),
        ("/tmp/größe/文件", "/tmp/größe/文件"),
        ("/x\x1b[2J\x1b]0;title\x07", r"/x\x1b[2J\x1b]0;title\x07"),
        ("/x\x9b31m\x7f\r\n\t", r"/x\x9b31m\x7f\r\n\t"),
        ("/x\u202egnp.exe\u2066\u200b\u2028", r"/x\u202egnp.exe\u2066\u200b\u2028"),
        ("/x\udcff\udc80", r"/x\xff\x80"),
        ("/x\U000e0041\ue000", r"/x\U000e0041\ue000"),
    ],
)
def test_names_cannot_command_a_terminal(name: str, shown: str) -> None:
    """Control characters, changes of direction, invisible ones and bytes that are no text are written out."""
    assert words.visible(name) == shown
    assert words.visible(name).isprintable()


def test_names_for_json_are_whole_characters() -> None:
    """Half a surrogate pair, which strict readers refuse, is written out; everything else stays as it is."""
    assert words.as_unicode("/\udcff\x1bä") == "/\\xff\x1bä"
    assert words.as_unicode("/plain\x1b") == "/plain\x1b"


@pytest.mark.parametrize(
    ("told", "letters"),
    [
        ({}, "rw-p"),
        ({"protection": vm.READ_ONLY, "is_shared": True}, "r--s"),
        ({"protection": vm.EXECUTE_READ, "is_shared": None}, "r-x?"),
        ({"protection": vm.READ_WRITE | vm.GUARD}, "---p"),
        ({"protection": vm.READ_WRITE | vm.NO_CACHE}, "rw-p"),
        ({"state": "reserved", "protection": 0}, "reserved"),
    ],
)
def test_access_in_letters(told: dict[str, Any], letters: str) -> None:
    """As Linux' listings have it; what nobody told is a question mark."""
    assert memory.access_of(row(0, PAGE, **told)) == letters


def test_what_must_be_said_of_the_reading() -> None:
    """A torn listing, what could not be read, a process without memory: each is a sentence; else there is none."""
    assert list(account(rows.service()).notes()) == []
    assert not account(rows.service()).is_incomplete
    (told,) = account(rows.service(), torn=True).notes()
    assert "of no single moment" in told
    first, second = account(rows.service(), unread=("read /proc/1/pagemap: no",)).notes()
    assert "read /proc/1/pagemap: no" in first
    assert "drawn from the left" in second
    assert account(rows.service(), unread=("x",)).is_incomplete
    whole = [row(0, PAGE), row(PAGE, 3 * PAGE, resident_size=0)]
    for listed in (account(rows.service(), places=whole, unread=("locks",)), account(whole, unread=("locks",))):
        assert list(listed.notes()) == ["What could not be read: locks"]
    assert len(list(account(rows.service(), unread=("locks",)).notes(has_picture=False))) == 1
    (told,) = account([]).notes()
    assert "thread of the kernel" in told
    refused = account([], refused="no", everybody={"VmSize": MIB, "VmLck": 0})
    assert list(refused.notes()) == ["no"]
    assert refused.is_incomplete
    assert {name: str(size) for name, size in refused.totals.items()} == {
        "mapped": "1.0 MiB",
        "resident": "unknown",
        "swapped": "unknown",
        "locked": "0",
        "secret": "unknown",
    }


def test_whose_memory_it_is() -> None:
    """Name, number and user, as far as they are known."""
    assert account([]).title == "vault, process 4242, user 997 (this command itself)"
    assert account([], name=None, user=None, is_self=False).title == "process 4242"
