"""What mountinfo and the options in it say of a file system, on text as kernels print it, and on garbage."""

import errno
import os
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import needs
from strongroom._os import disks, filesystems, mounts

#: Linux 6.18, x86-64: a virtual machine, a loop with a space in its name, a btrfs and a subvolume of it, overlays;
#: and lines of a desktop, a container and a network client.
LISTING = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24684092k
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resv_strict,resuid=65534,resgid=65534
42 27 7:0 / /tmp/fsx/m\040ext4 rw,relatime - ext4 /dev/loop0 rw
43 27 0:39 / /tmp/fsx/m\040btrfs rw,relatime - btrfs /dev/loop0 rw,discard=async,space_cache=v2,subvolid=5,subvol=/
44 27 0:39 /sv /tmp/fsx/mm rw,relatime - btrfs /dev/loop0 rw,discard=async,space_cache=v2,subvolid=256,subvol=/sv
45 27 0:40 / /tmp/ov rw,relatime - overlay o rw,lowerdir=lo,upperdir=/tmp/up/a\134\054b,workdir=up/w,uuid=on
46 27 0:45 / /srv/a\134b\011c\012d\043 rw shared:7 master:2 - nfs4 10.0.0.2:/export/x\040y rw,vers=4.2,addr=10.0.0.2
47 27 0:46 / /mnt/nameless rw - tmpfs  rw,noswap
48 27 0:47 / /home/u/far rw,nosuid,nodev - fuse.sshfs u@far: rw,user_id=1000,group_id=1000
49 27 8:2 / /home rw,relatime shared:1 - xfs /dev/sda2 rw,attr2,inode64,noquota
50 49 8:3 / /home rw,relatime shared:1 - ext4 /dev/sda3 rw,data=journal,barrier=0
"""
LISTED = {mount.point: mount for mount in mounts.parse_mountinfo(LISTING)}


def judged(line: str) -> filesystems.Filesystem:
    """What is made of one line, with a directory of another size as the one that was opened."""
    (mount,) = mounts.parse_mountinfo(line.encode() + b"\n")
    descriptor = os.open("/proc", os.O_RDONLY)
    try:
        return filesystems._judged(mount, descriptor, 0)
    finally:
        os.close(descriptor)


def test_lines_are_read_and_escapes_decoded() -> None:
    """Optional fields do not shift the rest; a space, tab, newline, backslash or # in a name is one again."""
    assert len(LISTED) == 11  # of two at one place one
    strange = LISTED["/srv/a\\b\tc\nd#"]
    assert (strange.identity, strange.device, strange.kind) == (46, (0, 45), "nfs4")
    assert strange.source == "10.0.0.2:/export/x y"
    assert strange.option("vers") == "4.2"
    assert (LISTED["/mnt/nameless"].source, LISTED["/mnt/nameless"].option("size")) == ("", "")
    assert LISTED["/tmp/ov"].option("upperdir") == "/tmp/up/a\\,b"  # an escaped comma is no separator
    assert "/dev/loop0" in repr(LISTED["/tmp/fsx/mm"])


@pytest.mark.parametrize(
    ("written", "means"),
    [
        (rb"\040", b" "),
        (rb"a\134040", rb"a\040"),  # a backslash, then three digits that are a name's own
        (rb"\377", b"\xff"),
        (rb"\400", rb"\400"),
        (rb"\09", rb"\09"),
        (rb"\04", rb"\04"),
        (b"\\", b"\\"),
        (rb"\ 40", rb"\ 40"),
        (b"", b""),
    ],
)
def test_only_whole_escapes_are_decoded(written: bytes, means: bytes) -> None:
    """Three octal digits that make a byte, once; all else stays."""
    assert mounts.unescape(written) == means


def test_a_name_cannot_forge_a_line() -> None:
    """Carriage returns and Unicode's line ends, which no kernel escapes, are part of a name."""
    name = "/mnt/x\r9 1 0:9 / /home rw - tmpfs t rw\x0b\x0c\x1c\x85\u2028\u00a0".replace(" ", r"\040").encode()
    (mount,) = mounts.parse_mountinfo(b"50 1 8:3 / " + name + b" rw - fuse evil rw\n")
    assert mount.point.startswith("/mnt/x\r9 1 0:9")


def test_a_listing_cut_short_says_nothing_of_its_last_line() -> None:
    """Wherever it ends: what was listed is as in the whole listing, nothing is made of half a line."""
    whole = [(repr(mount), mount.options) for mount in mounts.parse_mountinfo(LISTING)]
    for end in range(len(LISTING) + 1):
        cut = mounts.parse_mountinfo(LISTING[:end])
        assert len(cut) == LISTING[:end].count(b"\n")
        assert [(repr(mount), mount.options) for mount in cut] == whole[: len(cut)]


@pytest.mark.parametrize(
    ("identity", "device", "path", "expected"),
    [
        (49, (8, 3), "/home/u", "/dev/sda2"),  # fdinfo knows better than names and numbers
        (77, (254, 0), "/tmp", None),  # a mount that is not listed: of another namespace, or outside of our root
        (None, (254, 0), "/tmp/fsx/m", "/dev/vda"),
        (None, (7, 0), "/tmp/fsx/m ext4/a", "/dev/loop0"),
        (None, (254, 0), "/tmp/fsx/m ext4x", "/dev/vda"),  # only begins alike
        (None, (8, 2), "/home/u", "/dev/sda2"),  # lies below another one, and is meant all the same
        (None, (8, 3), "/home", "/dev/sda3"),
        (None, (0, 41), "/tmp/fsx/mm/a", "/dev/loop0"),  # a subvolume's number, which is in no list
        (None, (0, 41), "/dev/shm/a", None),  # the number of a tmpfs is in the list
        (None, (0, 41), "/usr", None),
        (None, (8, 9), "/tmp/fsx/mm", None),
    ],
)
def test_which_mount_a_directory_lies_on(
    identity: int | None, device: tuple[int, int], path: str, expected: str | None
) -> None:
    """The number of fdinfo decides, else that of stat, else for some kinds the path; in doubt nothing is said."""
    mount = mounts.choose(mounts.parse_mountinfo(LISTING), identity, device, path)
    assert (mount.source if mount else None) == expected


@needs.linux
@pytest.mark.parametrize(
    ("line", "is_memory", "words"),
    [
        ("1 0 0:9 / /t rw - tmpfs t rw", True, ["swapped out"]),
        ("1 0 0:9 / /t rw - tmpfs t rw,noswap", True, []),
        ("1 0 0:9 / /t rw - ramfs t rw", True, []),
        ("1 0 0:9 / /t rw - hugetlbfs t rw", True, []),
        ("1 0 0:9 / /t rw - devtmpfs t rw", True, ["swapped out"]),
        ("1 0 0:9 / /t rw - nfs4 h:/x rw", None, ["a server"]),
        ("1 0 0:9 / /t rw - fuse.sshfs h: rw", None, ["a server"]),
        ("1 0 0:9 / /t rw - virtiofs share rw", None, ["a server"]),
        ("1 0 0:9 / /t rw - 9p share rw", None, ["a server"]),
        ("1 0 0:9 / /t rw - zfs pool/home rw", None, ["copy-on-write", "compressed", "could not be seen"]),
        ("1 0 0:9 / /t rw - btrfs /dev/zz rw,compress=zstd:3", None, ["copy-on-write", "compressed", "not be seen"]),
        ("1 0 0:9 / /t rw - btrfs /dev/zz rw,nodatacow,nobarrier", None, ["without copy", "barriers", "not be seen"]),
        ("1 0 0:9 / /t rw - ubifs ubi0_0 rw", False, ["log-structured"]),
        ("1 0 4000:9 / /t rw - f2fs /dev/zz rw", None, ["log-structured", "could not be seen"]),
        ("1 0 4000:9 / /t rw - fuseblk /dev/zz rw", None, ["a server", "ntfs", "could not be seen"]),
        ("1 0 4000:9 / /t rw - xfs /dev/zz rw", None, ["reflink", "could not be seen"]),
        ("1 0 4000:9 / /t rw - reiserfs /dev/zz rw", None, ["reiserfs", "could not be seen"]),
        ("1 0 4000:9 / /t rw - vfat /dev/zz rw", None, ["could not be seen"]),
        (
            "1 0 4000:9 / /t rw - ext4 /dev/zz rw,data=journal,barrier=0",
            None,
            ["barriers", "journalled", "not be seen"],
        ),
        ("1 0 4000:9 / /t rw - ext4 /dev/zz rw,data=ordered", None, ["could not be seen"]),
        ("1 0 4000:9 / /t rw - ext4 /dev/zz rw", None, ["could not be read", "could not be seen"]),
        ("1 0 0:9 / /t rw - ext4 x rw", None, ["could not be read", "could not be seen"]),
        ("1 0 0:9 / /t rw - overlay o rw,lowerdir=/x", None, ["lower layers", "could not be seen from here"]),
        ("1 0 0:9 / /t rw - overlay o rw,upperdir=up,volatile", None, ["lower layers", "does nothing", "from here"]),
        ("1 0 0:9 / /t rw - overlay o rw,upperdir=/none", None, ["lower layers", "from here"]),
        ("1 0 0:9 / /t rw - overlay o rw,upperdir=/", None, ["lower layers", "from here"]),  # another of that name
        ("1 0 0:9 / /t rw - ecryptfs /none rw", None, ["from here"]),
    ],
)
def test_what_is_said_of_each_kind(line: str, is_memory: bool | None, words: list[str]) -> None:
    """Each kind and option has its sentences, in order, and no others."""
    found = judged(line)
    assert found.is_memory is is_memory
    assert len(found.caveats) == len(words), found.caveats
    assert all(word in caveat for word, caveat in zip(words, found.caveats, strict=True)), found.caveats
    assert found.is_encrypted is (found.kind == "ecryptfs")


def test_the_evidence_is_one_line_that_can_be_printed() -> None:
    """Device, place and media in words; control characters and broken UTF-8 of a name are escaped."""
    listed = mounts.parse_mountinfo(LISTING)
    found = filesystems.Filesystem(listed[-2])
    found.media = ("flash",)
    assert found.describe() == "xfs on /dev/sda2 at /home, flash"
    found.is_encrypted = True
    assert found.describe() == "xfs on /dev/sda2 at /home, flash, encrypted"
    assert repr(found) == "<Filesystem xfs on /dev/sda2 at /home, flash, encrypted>"
    over = filesystems.Filesystem(LISTED["/tmp/ov"])
    over.below, over.is_encrypted = found, True
    assert over.describe() == "overlay on o at /tmp/ov, files in xfs on /dev/sda2 at /home, flash, encrypted"
    assert filesystems.Filesystem(LISTED["/mnt/nameless"]).describe() == "tmpfs at /mnt/nameless"
    (strange,) = mounts.parse_mountinfo(b"1 0 0:9 / /\x1b[31m\r\\012\xc3\xa9 rw - fuse x rw\n")
    assert filesystems.Filesystem(strange).describe() == "fuse on x at /\\x1b[31m\\r\\né"


@needs.linux
def test_a_name_that_is_no_text_is_escaped() -> None:
    """Bytes that are no UTF-8 come as surrogates, which cannot be printed."""
    (strange,) = mounts.parse_mountinfo(b"1 0 0:9 / /\xff rw - fuse x rw\n")
    line = filesystems.Filesystem(strange).describe()
    assert line.encode("ascii") == b"fuse on x at /\\udcff"


def test_the_sentence_for_nothing_known() -> None:
    """There is one, in the manner of the others."""
    assert "not known" in filesystems.UNKNOWN


@pytest.mark.skipif(sys.platform.startswith("linux"), reason="needs a system that is not Linux")
def test_other_systems_say_nothing() -> None:
    """None, and no error, whatever the path."""
    assert filesystems.find("") is None


@needs.linux
def test_a_path_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    """What is not there, is no directory or cannot be a path is not answered with None."""
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        filesystems.find(str(tmp_path / "none"))
    with pytest.raises(NotADirectoryError):
        filesystems.find(os.fsencode(tmp_path / "file"))
    with pytest.raises(ValueError, match="null"):
        filesystems.find(b"\0")
    with pytest.raises(OSError, match="File name too long") as raised:
        filesystems.find("x" * 5000)
    assert raised.value.errno == errno.ENAMETOOLONG


@needs.linux
def test_a_removed_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no path any more, but a mount."""
    (tmp_path / "gone").mkdir()
    known = filesystems.find(str(tmp_path / "gone"))
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    found = filesystems.find(b".")
    assert found is not None
    assert repr(found) == repr(known)


@needs.linux
def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither mounts nor a mount's number: None. Only no number: the device and the path tell as much."""
    known = filesystems.find(tmp_path.as_posix())
    assert known is not None
    real = filesystems._read
    monkeypatch.setattr(filesystems, "_read", lambda name: b"" if name.startswith("fdinfo") else real(name))
    again = filesystems.find(tmp_path.as_posix())
    assert again is not None
    assert again.describe() == known.describe()
    monkeypatch.setattr(filesystems, "_read", lambda name: b"")
    assert filesystems.find(tmp_path.as_posix()) is None


_BYTES = st.sampled_from(
    (
        b" |\n|-|:|/|\\|\\040|,|=|\0|\xff|0|7:0| - |upperdir=/proc|/dev/vda|/dev/\0|/dev/..|btrfs|overlay|ext4|"
        b"ecryptfs|fuse.|" + b"9" * 5000
    ).split(b"|")
)
_GARBAGE = st.one_of(st.binary(max_size=200), st.lists(_BYTES, max_size=40).map(b"".join))
_LINE = st.lists(st.one_of(_BYTES, st.binary(max_size=8)), min_size=6, max_size=14).map(b" ".join)


@needs.linux
@settings(max_examples=150)
@given(before=_GARBAGE, line=st.one_of(_LINE, _GARBAGE), after=_GARBAGE)
@example(before=b"", line=b"1 0 0:1 / / rw - ext4 /dev/\0 rw", after=b"")
@example(before=b"9" * 5000 + b" 0 0:1 / / rw - ext4 x rw", line=b"", after=b"")
def test_garbage_is_no_mount_and_no_error(before: bytes, line: bytes, after: bytes) -> None:
    """Around a true line any bytes may stand: it is found all the same, and whatever else seems a mount is judged."""
    true = b"4096 1 254:77 / /true\\040one rw - vfat /dev/zz rw"
    text = b"\n".join([before, line, true, after])
    listed = mounts.parse_mountinfo(text + b"\n")
    assert [mount.source for mount in listed if mount.point == "/true one"] == ["/dev/zz"]
    for mount in listed:
        descriptor = os.open("/proc", os.O_PATH)
        try:
            found = filesystems._judged(mount, descriptor, disks.DEEPEST - 2)
        finally:
            os.close(descriptor)
        assert found.describe().isprintable()
        assert found.is_memory in (True, False, None)
    mounts.choose(listed, None, (0, 1), "/a")
