"""Evidence for memory that nothing locks, from listings as kernels print them; what a file system is not taken for."""

import errno
import os
from pathlib import Path

import pytest

from strongroom import Policy, SystemCallError, UnsupportedError, guarantees
from strongroom._os import PLATFORM, filesystems, limits, power
from strongroom._os.procfs import Mapping, parse_smaps
from strongroom.buffers import elsewhere, unlocked
from strongroom.buffers.evidence import judge_smaps
from strongroom.exceptions import NO_SUCH_CALL
from strongroom.guarantees import Guarantees

pytestmark = pytest.mark.skipif(PLATFORM != "linux", reason="reads listings of Linux: needs Linux's own words for it")
START, END = 0x7F0000001000, 0x7F0000002000
DONE = dict.fromkeys(("NO_DUMP", "NOT_IN_CHILD", "NO_HUGE", "NO_MERGE"))
STEPS: "dict[str, tuple[str, int] | None]" = {**DONE, "LOCK": ("not asked for", NO_SUCH_CALL)}

#: Of Linux 6.18, the figures left out.
LISTING = """\
7f0000000000-7f0000001000 ---p 00000000 00:00 0 {before}
VmFlags: mr mw me sd
7f0000001000-7f0000002000 ---s 00000000 fe:00 2286631{path}
VmFlags: {flags} sd
7f0000002000-7f0000003000 ---p 00000000 00:00 0
VmFlags: mr mw me sd
"""


def judged(backing: str, flags: str, path: str = "") -> Guarantees:
    """What is said of the pages in a listing with these flags."""
    listing = parse_smaps(LISTING.format(flags=flags, path=f" {path}" if path else "", before=""))
    found = judge_smaps(listing, START, END, STEPS, False, 0.0)
    unlocked.judge_unlocked(found, backing, [m for m in listing if m.start == START], 0.0)
    return found


#: Of pages that nothing locks, whatever they are made of.
NEVER = ("UNREADABLE_BY_OTHERS", "NO_MIGRATION", "FIXED_LAYOUT")


@pytest.mark.parametrize(
    ("backing", "flags", "state"),
    [
        ("droppable", "mr mw me dc dd nh dp", "verified"),
        ("droppable", "mr mw me dc dd nh", "refused"),
        ("partial", "sh mr mw me ms dc dd", "requested"),
        ("file", "sh mr mw me ms dc dd", "unavailable"),
    ],
)
def test_what_is_never_written(monkeypatch: pytest.MonkeyPatch, backing: str, flags: str, state: str) -> None:
    """Droppable pages by their flag, partial ones by what was tried, a file's are; LOCKED is none of them."""
    monkeypatch.setattr(power, "can_hibernate", lambda: False)
    found = judged(backing, flags, "" if backing == "droppable" else "/no/such/place/#5 (deleted)")
    assert found["NEVER_WRITTEN"].state == state
    assert found["LOCKED"].state == "unavailable"
    assert [found[name].state for name in NEVER] == ["unavailable"] * 3
    for name in ("NO_DUMP", "NOT_IN_CHILD", "GUARDED", "CLOSED_AT_REST", "NO_MERGE"):
        assert found[name].state == "verified", name
    assert found.keys() == set(guarantees.ALL)


def test_a_hibernation_would_write_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine may hibernate that is said, and nothing is verified."""
    monkeypatch.setattr(power, "can_hibernate", lambda: True)
    one = judged("droppable", "mr mw me dc dd dp")["NEVER_WRITTEN"]
    assert one.state == "requested"
    assert "hibernation" in one.source


def test_without_a_listing_the_calls_answers_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No /proc, or one without flags: requested and no more; a file's place is not known then."""
    monkeypatch.setattr(power, "can_hibernate", lambda: False)
    for pages in ([], [Mapping(START, END, "---p", "", frozenset())]):
        found = judge_smaps([], START, END, STEPS, False, 0.0)
        unlocked.judge_unlocked(found, "droppable", pages, 0.0)
        assert found["NEVER_WRITTEN"].state == "requested"
    found = judge_smaps([], START, END, STEPS, False, 0.0)
    unlocked.judge_unlocked(found, "file", [], 0.0)
    assert found["NEVER_WRITTEN"].source.endswith(filesystems.UNKNOWN)


def test_pages_that_somebody_locked_all_the_same() -> None:
    """mlockall(2) of the program, or lock='try': the listing has lo, and that is said."""
    assert judged("partial", "sh mr mw me ms lo dc dd")["LOCKED"].state == "verified"


@pytest.mark.parametrize("backing", ["droppable", "partial", "file"])
def test_a_stand_in_says_why_it_is_none_that_is_locked(backing: str) -> None:
    """The refused call and its error, what serves, the remedy; what turned out to be locked all the same stays so."""
    listing = parse_smaps(LISTING.format(flags="dc dd", path="", before=""))
    steps = {**STEPS, "LOCK": ("mlock", errno.ENOMEM)}
    found = judge_smaps(listing, START, END, steps, False, 0.0)
    unlocked.judge_unlocked(found, backing, [m for m in listing if m.start == START], 0.0)
    unlocked.judge_stand_in(found, backing)
    assert found["LOCKED"].state == "refused"
    source = found["LOCKED"].source
    assert source.startswith(f"mlock: {os.strerror(errno.ENOMEM)}. The fallback of the policy serves instead: ")
    assert unlocked.SERVES[backing] in source
    assert "not asked for" not in source
    assert limits.remedies() in source
    locked = judged(backing, "lo dc dd")
    before = locked["LOCKED"]
    unlocked.judge_stand_in(locked, backing)
    assert locked["LOCKED"] == before


def unlocked_after(lock: "tuple[str, int] | None", flags: str) -> Guarantees:
    """What is said of ordinary pages that a policy lets go without the lock."""
    listing = parse_smaps(LISTING.format(flags=flags, path="", before=""))
    found = judge_smaps(listing, START, END, {**DONE, "LOCK": lock}, False, 0.0)
    unlocked.judge_ordinary(found, 0.0)
    unlocked.judge_stand_in(found, "locked")
    return found


@pytest.mark.parametrize("flags", ["dc dd", "lo dc dd"])
def test_memory_that_the_policy_lets_go_unlocked_says_so_everywhere(flags: str) -> None:
    """The refused call, whose word let it pass, the remedy; nothing speaks of locked pages, unless they are.

    Control: pages that turned out to be locked all the same (mlockall) are spoken of as such, without a remedy.
    """
    found = unlocked_after(("mlock", errno.EPERM), flags)
    others = " ".join(found[name].source for name in ("NEVER_WRITTEN", "UNREADABLE_BY_OTHERS", "NO_MIGRATION"))
    assert {found[name].state for name in ("NEVER_WRITTEN", "UNREADABLE_BY_OTHERS", "NO_MIGRATION")} == {"unavailable"}
    if "lo" in flags:
        assert found["LOCKED"].state == "verified"
        assert "hibernation writes locked pages" in others
        return
    assert found["LOCKED"].state == "refused"
    source = found["LOCKED"].source
    assert source.startswith(f"mlock: {os.strerror(errno.EPERM)}. The policy lets it go without: ")
    assert limits.remedies() in source
    assert "not locked" in found["NEVER_WRITTEN"].source
    assert "swap" in found["NEVER_WRITTEN"].source
    assert "locked pages" not in others


def test_a_system_without_a_lock_has_no_remedy() -> None:
    """There it is unavailable, and what may become of the pages is said all the same."""
    found = unlocked_after(("mlock", NO_SUCH_CALL), "dc dd")
    assert found["LOCKED"].state == "unavailable"
    assert "raise the lock limit" not in found["LOCKED"].source
    assert "swap" in found["NEVER_WRITTEN"].source


def test_a_place_is_believed_only_by_its_device(tmp_path: Path) -> None:
    """The listing's path may lead elsewhere by now; another number is another file system."""
    found = filesystems.find(str(tmp_path))
    assert found is not None
    path = f"{tmp_path}/#17 (deleted)"
    assert unlocked.place_of(path, found.device).startswith(found.describe())
    major, minor = found.device
    assert unlocked.place_of(path, (major, minor + 1)) == filesystems.UNKNOWN
    for gone in (f"{tmp_path}/gone/#17 (deleted)", "#17 (deleted)", "", "/memfd:x (deleted)"):
        assert unlocked.place_of(gone, (0, 0)) == filesystems.UNKNOWN


def test_a_path_in_the_listing_may_hold_what_looks_like_one(tmp_path: Path) -> None:
    """Anything but a newline, which the kernel writes as digits; and those are read back."""
    odd = "/a\x0b1-2 rw-p 0 0:0 0\x85VmFlags: lo\u2028x\r (deleted)"
    listing = parse_smaps(LISTING.format(flags="sh dd", path=f" {odd}", before=""))
    assert len(listing) == 3
    assert listing[1].path == odd
    assert listing[1].flags == {"sh", "dd", "sd"}
    assert listing[1].device == (0xFE, 0)
    place = tmp_path / "new\nline"
    place.mkdir()
    found = filesystems.find(str(place))
    assert found is not None
    assert unlocked.place_of(f"{tmp_path}/new\\012line/#1 (deleted)", found.device) != filesystems.UNKNOWN


# ---- the words of refusals ----

FILE, PARTIAL, DROPPABLE = 4, 3, 2


def named(backing: str, directory: "bytes | None", call: str, code: int) -> "tuple[str, bytes | None, str, int]":
    """A refusal as the native layer hands it over."""
    return backing, directory, call, code


def test_nothing_that_this_system_has() -> None:
    """Only lacks: UnsupportedError says for each what it is."""
    error = elsewhere.nowhere(
        [
            named("droppable", None, "mmap(MAP_DROPPABLE)", NO_SUCH_CALL),
            named("partial", b"/x", "msync(partial page)", NO_SUCH_CALL),
        ],
        32,
    )
    assert isinstance(error, UnsupportedError)
    assert str(error) == (
        "there is no such memory to be had here. droppable: no such pages on this system (mmap(2) MAP_DROPPABLE: Linux "
        "6.11); partial in '/x': this file system keeps what lies behind a file's end, as those in memory do"
    )


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("open(directory)", errno.ENOENT, "Name a directory that exists and that this process may write to, not '/x'"),
        ("open(O_TMPFILE)", errno.EROFS, "Name a directory that exists and that this process may write to, not '/x'"),
        ("pwrite(private file)", errno.ENOSPC, "1,234 bytes were to be written in '/x': the file system or the quota"),
        ("fstatvfs(private file)", errno.ENOSPC, "1,234 bytes were to be written in '/x'"),
        ("pwrite(private file)", errno.EDQUOT, "the quota is full"),
        ("mremap(private file)", errno.ENOMEM, "Memory, address space, or mappings (sysctl vm.max_map_count)"),
        ("unlink(private file)", errno.EPERM, "An empty file .strongroom-* stays in '/x'"),
        ("madvise(MADV_DONTDUMP)", errno.EINVAL, "This was for file pages in '/x'"),
        ("open(directory)", errno.EMFILE, "This process may have no more files open (ulimit -n): close some"),
        ("open(O_TMPFILE)", errno.EMFILE, "This process may have no more files open (ulimit -n): close some"),
        ("open(O_TMPFILE)", errno.ENFILE, "The whole system may have no more files open (sysctl fs.file-max)"),
        ("pwrite(private file)", errno.EFBIG, "Its file would be larger than this process may write one (ulimit -f)"),
    ],
)
def test_a_refusal_says_each_thing_once(call: str, code: int, words: str) -> None:
    """The call, the system's reason, the value and the remedy."""
    error = elsewhere.nowhere([named("file", b"/x", call, code)], 1234)
    assert isinstance(error, SystemCallError)
    assert (error.call, error.code) == (call, code)
    text = str(error)
    assert text.startswith(f"{call}: {os.strerror(code)}. ")
    assert words in text
    assert text.count(call) == text.count(os.strerror(code)) == 1
    assert code not in (errno.EMFILE, errno.ENFILE, errno.EFBIG) or "Name a directory" not in text


def test_the_last_refusal_is_the_error_and_the_others_are_told() -> None:
    """Where several places were tried each has its words."""
    error = elsewhere.nowhere(
        [
            named("droppable", None, "mmap(MAP_DROPPABLE)", NO_SUCH_CALL),
            named("partial", b"/one", "open(directory)", errno.EACCES),
            named("partial", b"/" + b"two" * 200, "open(directory)", errno.ENOENT),
        ],
        32,
    )
    assert isinstance(error, SystemCallError)
    assert error.code == errno.ENOENT
    assert "Tried besides: droppable: no such pages" in str(error)
    assert "partial in '/one': open(directory): Permission denied" in str(error)
    assert len(str(error)) < 700


def test_what_a_stand_in_is_told_to_lack() -> None:
    """One page, the alignment, a directory in memory; nothing is said where nothing was tried."""
    assert elsewhere.no_stand_in([]) == ""
    assert "VolatileBuffer and FileBuffer need no lock" in elsewhere.needs_no_lock(None)
    refusals: list[object] = []
    policy = Policy(fallback=("volatile",))
    assert elsewhere.stand_ins(policy, 5000, 0, 1, refusals) == []  # type: ignore[arg-type]
    assert elsewhere.stand_ins(policy, 32, 0, 32, refusals) == []  # type: ignore[arg-type]
    assert [str(refusal).partition(":")[0] for refusal in refusals] == ["droppable", "partial"] * 2
    assert all("align up to 16" in str(refusal) for refusal in refusals)
    ways = elsewhere.stand_ins(Policy(fallback=("file", "volatile"), directory="/"), 32, 0, 16, [])
    assert [way[0] for way in ways] == [FILE, DROPPABLE, PARTIAL]
