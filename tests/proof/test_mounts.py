"""prove's own reader of mountinfo: names, half lines, garbage; and the library's reader beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="needs a Unix")

from hypothesis import example, given, settings
from hypothesis import strategies as st

from strongroom._os.mounts import parse_mountinfo
from strongroom.prove import mounts

LISTING = rb"""1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:9 / /tmpx rw shared:7 master:2 - tmpfs  rw,size=1m
3 1 0:9 /sub /var rw - btrfs x rw,subvol=/sub
4 1 0:7 / /srv/a\134b\011c\012d\043\040e rw - fuse.x me rw
"""


def seen(text: bytes) -> list[tuple[str, str, tuple[str, ...]]]:
    """What it lists."""
    return [(mount.point, mount.kind, mount.options) for mount in mounts.parse(text)]


def by_the_library(text: bytes) -> list[tuple[str, str, tuple[str, ...]]]:
    """What the library lists."""
    return [(mount.point, mount.kind, mount.options) for mount in parse_mountinfo(text)]


def test_the_innermost_file_system_counts() -> None:
    """A tmpfs on /tmp is not the ext4 it is mounted on; a name that only begins alike is not inside."""
    listed = mounts.parse(LISTING)
    assert mounts.kind_of("/tmpx/a", listed) == "tmpfs"
    assert mounts.kind_of("/tmpxy", listed) == "ext4"
    assert mounts.kind_of("/var", listed) == "btrfs"
    assert mounts.kind_of("/var", mounts.parse(LISTING + b"9 3 0:8 / /var rw - xfs y rw\n")) == "xfs"
    assert mounts.kind_of("/var", []) == ""


def test_names_and_roots_are_decoded() -> None:
    """A space, tab, newline, backslash or # in a name is one again; no field shifts another, nor does an empty one."""
    listed = mounts.parse(LISTING)
    assert listed[-1].point == "/srv/a\\b\tc\nd# e"
    assert (listed[1].root, listed[1].options, listed[2].root) == ("/", ("rw", "size=1m"), "/sub")


def test_two_readers_agree_on_this_machine() -> None:
    """prove's and the library's list the same mounts, if there are any to list."""
    try:
        text = Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        pytest.skip("needs /proc: run on Linux")
    assert seen(text) == by_the_library(text) != []
    assert mounts.kind_of("/proc/self", mounts.listed()) == "proc"


def test_a_listing_cut_short_says_nothing_of_its_last_line() -> None:
    """Wherever it ends: what was listed is as in the whole listing, nothing is made of half a line."""
    for end in range(len(LISTING) + 1):
        assert seen(LISTING[:end]) == seen(LISTING)[: LISTING[:end].count(b"\n")]


_PIECES = st.sampled_from(b" |\n|-|:|/|\\|\\040|\\400|,|=|\0|\xff|\r|\x85|0|7:0| - |ext4|tmpfs|cgroup".split(b"|"))
_GARBAGE = st.one_of(st.binary(max_size=200), st.lists(_PIECES, max_size=40).map(b"".join))


@settings(max_examples=200)
@given(before=_GARBAGE, after=_GARBAGE)
@example(before=b"1 0 0:1 /", after=b"1 0 0:1 / / rw -")
@example(before=b"1 0 0:1 / / rw - ", after=b"1 0 0:1 / / rw - ext4")
@example(before=b" - ", after=b"-\n\n - - - - - - - -")
def test_garbage_is_no_mount_and_no_error(before: bytes, after: bytes) -> None:
    """Around a true line any bytes may stand: it is found, nothing crashes, and all that the library finds is found."""
    text = b"\n".join([before, rb"4096 1 254:77 / /true\040one rw - vfat /dev/zz rw", after])
    listed = mounts.parse(text + b"\n")
    assert "/true one" in [mount.point for mount in listed]
    assert mounts.kind_of("/true one/file", listed)
    assert set(by_the_library(text)) <= set(seen(text))
