"""Files that lie in memory, on systems without mountinfo: by the words of statfs(2) and GetDriveType there."""

import sys
from pathlib import Path

import pytest

import needs
from strongroom import Policy, UnsupportedError, _native
from strongroom._os import filesystems, memorydisks
from strongroom.buffers import elsewhere, unlocked

#: As the systems' own manual pages show them: platform, kind, what is mounted, whether it is memory.
PLACES = [
    ("freebsd", "tmpfs", "tmpfs", True),
    ("freebsd", "ufs", "/dev/md0p2", True),
    ("freebsd", "ufs", "/dev/ada0p2", False),
    ("freebsd", "ufs", "/dev/mdctl", False),
    ("freebsd", "zfs", "zroot/tmp", False),
    ("netbsd", "mfs", "mfs:123", True),
    ("netbsd", "tmpfs", "tmpfs", True),
    ("netbsd", "ffs", "/dev/md0a", True),
    ("netbsd", "ffs", "/dev/wd0a", False),
    ("openbsd", "mfs", "mfs:48231", True),
    ("openbsd", "ffs", "/dev/rd0a", True),
    ("openbsd", "ffs", "/dev/sd0a", False),
    ("darwin", "tmpfs", "tmpfs", True),
    ("darwin", "apfs", "/dev/disk3s5", False),
    ("darwin", "hfs", "/dev/md0", False),
    ("windows", "RAM disk", "R:\\", True),
    ("windows", "NTFS", "C:\\", False),
    ("windows", "", "", False),
]


@pytest.mark.parametrize(("platform", "kind", "source", "is_memory"), PLACES)
def test_what_lies_in_memory(
    monkeypatch: pytest.MonkeyPatch, platform: str, kind: str, source: str, is_memory: bool
) -> None:
    """A FileBuffer there is refused, and the error has the system's words; a stand-in is none; a disk is taken."""
    for module in (elsewhere, filesystems):
        monkeypatch.setattr(module, "PLATFORM", platform)
    monkeypatch.setattr(_native, "filesystem_of", lambda directory: (kind, source))
    place = str(Path(sys.executable).parent)
    policy = Policy(require=(), fallback=("file",), directory=place)
    refusals: list[elsewhere.Refusal] = []
    ways = elsewhere.stand_ins(policy, 32, 0, 1, refusals)
    if not is_memory:
        assert elsewhere.file_ways(place, False, policy) == ways != []
        return
    assert ways == []
    for words in (str(refusals[0]), memorydisks.words_for(kind, source, platform)):
        assert kind in words
        assert source in words
    with pytest.raises(UnsupportedError, match=r"lies in memory \(.*swap.*allow_memory=True") as caught:
        elsewhere.file_ways(place, False, policy)
    assert memorydisks.words_for(kind, source, platform) in str(caught.value)
    assert len(elsewhere.file_ways(place, True, policy)) == 1


def test_a_name_is_shown_in_one_printable_line() -> None:
    """Who mounts something may call it anything."""
    assert memorydisks.words_for("tmpfs", "a\nb\x1b", "freebsd") == r"tmpfs on a\nb\x1b"


def test_what_cannot_be_told_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """On each system but Linux, in the evidence of a private file."""
    for platform in ("darwin", "freebsd", "netbsd", "openbsd", "windows"):
        monkeypatch.setattr(unlocked, "PLATFORM", platform)
        one = unlocked._never_written("file", [], 0.0)
        assert one.state == "unavailable"
        assert one.source.endswith(f"{filesystems.UNKNOWN}; {memorydisks.UNTOLD[platform]}")
        assert "looks like any other disk here" in one.source


@needs.linux
def test_linux_has_something_better(tmp_path: Path) -> None:
    """Mountinfo: the call is not made there, and says nothing."""
    assert _native.filesystem_of(bytes(tmp_path)) == ("", "")
