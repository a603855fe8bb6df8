"""Where on its disk a file lies, when the kernel needs several answers to say so, and when it never comes to an end."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest

fcntl = pytest.importorskip("fcntl", reason="needs a Unix")

from strongroom.prove.attackers import disk as attack  # noqa: E402
from strongroom.prove.attackers import libc  # noqa: E402
from strongroom.prove.disk import Disk  # noqa: E402

pytestmark = pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="needs Linux")

BLOCK = 4096
LAST, DELALLOC = 0x1, 0x4


@pytest.mark.parametrize("count", [1, 32, 33, 64, 100])
def test_every_extent_of_a_scattered_file(own_disk: Disk, count: int) -> None:
    """One answer has 32: also with fewer, with exactly as many and with several answers each block is at its place."""
    path = os.path.join(own_disk.point, "scattered")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for number in range(count):  # a hole after each: none can be joined to the next
            os.pwrite(descriptor, bytes([number + 1]) * BLOCK, 2 * number * BLOCK)
        libc.syncfs(descriptor)
        blocks = attack._extents(descriptor)
    finally:
        os.close(descriptor)
    assert blocks is not None
    assert len(blocks) == count > 0
    image = Path(own_disk.path).read_bytes()
    assert [image[start:end] for start, end in blocks] == [bytes([number + 1]) * BLOCK for number in range(count)]


def test_a_file_that_was_never_written(own_disk: Disk) -> None:
    """A file that is one hole lies nowhere, and that is no error."""
    descriptor = os.open(os.path.join(own_disk.point, "hole"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.ftruncate(descriptor, 1 << 20)
        assert attack._extents(descriptor) == []
    finally:
        os.close(descriptor)


def answering(monkeypatch: pytest.MonkeyPatch, answers: dict[int, list[tuple[int, int]]]) -> None:
    """A kernel that says so of each place it is asked about: (logical start, flags) of extents of a block each."""

    def answer(_: int, request: int, buffer: bytearray) -> int:
        assert request == attack._FS_IOC_FIEMAP
        told = answers[struct.unpack_from("=Q", buffer)[0]]
        struct.pack_into("=I", buffer, 20, len(told))
        for index, (logical, flags) in enumerate(told):
            struct.pack_into("=QQQ16xI12x", buffer, 32 + 56 * index, logical, 7 * BLOCK + logical, BLOCK, flags)
        return 0

    monkeypatch.setattr(attack, "fcntl", SimpleNamespace(ioctl=answer))


@pytest.mark.parametrize(
    "answers",
    [
        {0: [(0, 0)], BLOCK: []},  # no more, and no last one
        {0: [(0, 0), (BLOCK, 0)], 2 * BLOCK: [(0, 0), (BLOCK, 0)]},  # from the start again
        {number * BLOCK: [(number * BLOCK, 0)] for number in range(attack._MOST_CALLS)},  # on and on
    ],
    ids=["stops", "turns back", "goes on"],
)
def test_a_last_extent_that_never_comes(
    monkeypatch: pytest.MonkeyPatch, answers: dict[int, list[tuple[int, int]]]
) -> None:
    """Half a list is not taken for the whole: it is an error that says how far it went."""
    answering(monkeypatch, answers)
    with pytest.raises(OSError, match=r"up to byte [0-9]+ of the file, and none is the last") as caught:
        attack._extents(0)
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize(("second", "expected"), [(0, 2), (DELALLOC, None)])
def test_answers_are_put_together(monkeypatch: pytest.MonkeyPatch, second: int, expected: int | None) -> None:
    """The next question begins where the answer ended, and one extent without a place spoils it all."""
    answering(monkeypatch, {0: [(0, second)], BLOCK: [(4 * BLOCK, LAST)]})
    blocks = attack._extents(0)
    assert (None if blocks is None else len(blocks)) == expected
    assert blocks in (None, [[7 * BLOCK, 8 * BLOCK], [11 * BLOCK, 12 * BLOCK]])
