"""VolatileBuffer as it is made: what the system says of its page, sizes, arguments, what it promises."""

import ctypes
import gc
import os
import re
from pathlib import Path

import pytest

import needs
import observed
import vanishing
from strongroom import Policy, StrongroomError, SystemCallError, UnsupportedError, VolatileBuffer, stats
from vanishing import HEAD_SIZE, PAGE, SENTINEL_SIZE

pytestmark = needs.linux

MOST = {"droppable": PAGE - 2 * SENTINEL_SIZE, "partial": PAGE - 2 * SENTINEL_SIZE - HEAD_SIZE}


def test_the_page(vanishing_backing: vanishing.Kind) -> None:
    """One page between two inaccessible ones, inaccessible at rest, left out of dumps and children."""
    with VolatileBuffer(32, backing=vanishing_backing) as volatile:
        page = vanishing.page_of(volatile)
        mapping = observed.mapping_at(page)
        assert mapping is not None
        assert (mapping.start, mapping.end) == (page, page + PAGE)
        assert mapping.permissions[:3] == "---"
        assert {"dd", "dc"} <= mapping.flags
        assert "lo" not in mapping.flags
        assert observed.protection_at(page - 1) == observed.protection_at(page + PAGE) == "---"
        with volatile.open() as view:
            assert observed.protection_at(page) == "r--"
            assert observed.address_of(view) + 32 + SENTINEL_SIZE == page + PAGE
        with volatile.open("rw"):
            assert observed.protection_at(page) == "rw-"
        assert observed.protection_at(page) == "---"
    assert observed.protection_at(page) == "gone"


def test_droppable_flags() -> None:
    """The kernel lists a droppable page as such, and as empty in children, and as private."""
    vanishing.require("droppable")
    with VolatileBuffer(1, backing="droppable") as volatile:
        mapping = observed.mapping_at(vanishing.page_of(volatile))
        assert mapping is not None
        assert {"dp", "wf"} <= mapping.flags
        assert mapping.path == ""


def test_the_file_of_a_partial_page() -> None:
    """It is 512 bytes long, has no name, no other links and no descriptor, and lies where it was said to."""
    place = vanishing.disk_directory()
    before = observed.descriptors()
    with VolatileBuffer(1, backing="partial", directory=place) as volatile:
        assert observed.descriptors() == before
        mapping = observed.mapping_at(vanishing.page_of(volatile))
        assert mapping is not None
        assert mapping.permissions == "---s"
        assert mapping.path.startswith(os.path.realpath(place))
        assert mapping.path.endswith(" (deleted)")
        try:
            found = os.stat(f"/proc/self/map_files/{mapping.start:x}-{mapping.end:x}")
        except PermissionError:
            pytest.skip("the file itself is shown to root alone: /proc/self/map_files needs CAP_SYS_ADMIN")
        assert (found.st_size, found.st_nlink, found.st_mode & 0o777) == (HEAD_SIZE, 0, 0o600)


def test_the_head_stays_zeros() -> None:
    """What lies before the file's end, and so on the disk, are zeros, with the largest contents too."""
    vanishing.require("partial")
    with VolatileBuffer(MOST["partial"], backing="partial") as volatile:
        volatile.copy_from(b"\xa5" * MOST["partial"])
        assert vanishing.contents(vanishing.page_of(volatile))[:HEAD_SIZE] == bytes(HEAD_SIZE)


def test_sentinels(vanishing_backing: vanishing.Kind) -> None:
    """Sixteen bytes that nobody can guess stand on either side, others in each buffer."""
    with VolatileBuffer(8, backing=vanishing_backing) as one, VolatileBuffer(8, backing=vanishing_backing) as two:
        found = [bytes_ for volatile in (one, two) for _, bytes_ in vanishing.sentinels_of(volatile)]
        assert len(set(found)) == 4
        assert all(len(set(bytes_)) > 4 for bytes_ in found)


def test_sizes(vanishing_backing: vanishing.Kind) -> None:
    """From one byte up to the documented bound, whose every byte can be used."""
    most = MOST[vanishing_backing]
    for size in (1, 2, 15, 16, 17, most - 1, most):
        with VolatileBuffer(size, backing=vanishing_backing) as volatile:
            assert len(volatile) == size
            assert volatile == bytes(size)
            volatile.copy_from(os.urandom(size))
            vanishing.drop(volatile)
            assert not volatile.intact
    with pytest.raises(
        ValueError, match=rf"from 1 to {most:,} \({vanishing_backing}\) bytes, not {most + 1:,}: there is"
    ):
        VolatileBuffer(most + 1, backing=vanishing_backing)


@pytest.mark.parametrize("size", [0, -1, 1 << 80])
def test_the_bound_is_that_of_the_backing(size: int) -> None:
    """What is too small, or larger than anything, is told how many bytes this kind has; "auto" the larger one."""
    for backing, most in [*MOST.items(), ("auto", MOST["droppable"]), (["partial"], MOST["droppable"])]:
        with pytest.raises(ValueError, match=f"size must be from 1 to {most:,} bytes, not "):
            VolatileBuffer(size, backing=backing)  # type: ignore[arg-type]


def test_bounds_in_words() -> None:
    """The error and the documentation name the same bounds; "auto" takes what one kind can hold."""
    with pytest.raises(ValueError, match=re.escape("from 1 to 4,064 (droppable), 3,552 (partial) bytes, not 4,065")):
        VolatileBuffer(4065)
    assert MOST == {"droppable": 4064, "partial": 3552}
    for number in ("4,064", "3,552"):
        assert number in str(VolatileBuffer.__doc__)
    vanishing.require("droppable")
    with VolatileBuffer(4000) as volatile:
        assert volatile.backing == "droppable"


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), (2**70, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_sizes_that_are_none(size: object, error: type[Exception]) -> None:
    """A size is an integer from 1."""
    with pytest.raises(error, match="size must be"):
        VolatileBuffer(size)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ({"backing": "locked"}, ValueError, "backing must be 'auto' or 'droppable' or 'partial', not 'locked'"),
        ({"backing": None}, TypeError, "backing must be .*, not None"),
        ({"lock": "yes"}, ValueError, "lock must be 'no' or 'try', not 'yes'"),
        ({"lock": True}, TypeError, "lock must be 'no' or 'try', not True"),
        ({"backing": "droppable", "directory": "/"}, ValueError, "droppable pages have no file"),
        ({"backing": "droppable", "lock": "try"}, ValueError, "droppable pages .* cannot be locked"),
        ({"directory": 5}, TypeError, "directory must be a path, not 5"),
        ({"directory": ""}, ValueError, "directory must be the path of a directory"),
        ({"directory": "a\0b"}, ValueError, "directory must be the path of a directory"),
        ({"rebuild": 5}, TypeError, "rebuild must be a function that fills a View, or None, not 5"),
        ({"policy": "warn"}, TypeError, "policy must be a Policy or None, not str"),
        ({"policy": Policy(require={"LOCKED"})}, UnsupportedError, "cannot give LOCKED"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(words: dict[str, object], error: type[Exception], said: str) -> None:
    """Each is refused by its name, and nothing is made."""
    gc.collect()  # what earlier tests left would else be given back at any moment
    before = stats().volatile_size
    with pytest.raises(error, match=said):
        VolatileBuffer(32, **words)  # type: ignore[arg-type]
    assert stats().volatile_size == before


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ("nothing/there", SystemCallError, r"open\(directory\): No such file"),
        ("a file", SystemCallError, r"open\(directory\): Not a directory"),
        ("/proc", StrongroomError, "not '/proc'"),
    ],
)
def test_places_for_a_file_that_are_none(place: str, error: type[Exception], said: str, tmp_path: Path) -> None:
    """The error names the directory and what was refused; no descriptor is left open."""
    (tmp_path / "a file").touch()
    before = observed.descriptors()
    with pytest.raises(error, match=said):
        VolatileBuffer(32, backing="partial", directory=tmp_path / place)
    assert observed.descriptors() == before


def test_a_directory_in_memory_drops_nothing() -> None:
    """Tmpfs keeps what lies behind a file's end, so it is refused, by name."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("needs tmpfs at /dev/shm")
    with pytest.raises(UnsupportedError, match="'/dev/shm': this file system keeps what lies behind a file's end"):
        VolatileBuffer(32, backing="partial", directory="/dev/shm")


def test_any_form_of_path() -> None:
    """A str, bytes, a Path and a relative path are all directories."""
    place = vanishing.disk_directory()
    for directory in (place, os.fsencode(place), Path(place), os.path.relpath(place)):
        with VolatileBuffer(3, backing="partial", directory=directory) as volatile:
            assert volatile.backing == "partial"


def test_locking_a_partial_page() -> None:
    """lock="try": the kernel says that the page is locked, guarantees() that it read so; it is still written back."""
    vanishing.require("partial")
    with VolatileBuffer(32, backing="partial", lock="try") as volatile:
        mapping = observed.mapping_at(vanishing.page_of(volatile))
        assert mapping is not None
        assert "lo" in mapping.flags
        assert volatile.guarantees()["LOCKED"].state == "verified"
        vanishing.drop(volatile)
        assert not volatile.intact


EXPECTED = {
    "LOCKED": {"unavailable"},
    "NO_DUMP": {"verified"},
    "NOT_IN_CHILD": {"verified"},
    "GUARDED": {"verified"},
    "CLOSED_AT_REST": {"verified"},
    "UNREADABLE_BY_OTHERS": {"unavailable"},
    "NO_MIGRATION": {"unavailable"},
    "NO_MERGE": {"verified"},
    "FIXED_LAYOUT": {"unavailable"},
    "NEVER_WRITTEN": {"verified", "requested"},  # requested where the machine may hibernate, and of a partial page
}


def test_guarantees(vanishing_backing: vanishing.Kind) -> None:
    """What the kernel was seen to keep, before and after a loss; two different promises, each with its reason."""
    with VolatileBuffer(32, backing=vanishing_backing) as volatile:
        for _ in range(2):
            found = volatile.guarantees()
            assert found.keys() == EXPECTED.keys()
            assert {name: one.state for name, one in found.items() if one.state not in EXPECTED[name]} == {}
            vanishing.drop(volatile)
        written = found["NEVER_WRITTEN"]
        if vanishing_backing == "partial":
            assert written.state == "requested"
            assert "may reach the disk" in written.source
            assert "lock='try'" in found["LOCKED"].source
        else:
            assert "dp" in written.source
            assert "cannot be locked" in found["LOCKED"].source


def test_a_page_that_lost_its_flag_is_found_out() -> None:
    """The control: of a page that is an ordinary one by now guarantees() says that it is not droppable."""
    vanishing.require("droppable")
    with VolatileBuffer(32, backing="droppable") as volatile:
        page = ctypes.c_void_p(vanishing.page_of(volatile))
        libc = ctypes.CDLL(None)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap(page, ctypes.c_size_t(PAGE), 0, 0x32, -1, ctypes.c_long(0))  # MAP_PRIVATE | FIXED | ANONYMOUS
        assert volatile.guarantees()["NEVER_WRITTEN"].state == "refused"


def test_repr_and_figures(vanishing_backing: vanishing.Kind) -> None:
    """It says its size, kind and state, nothing of its contents; stats() counts its page."""
    gc.collect()
    before = stats().volatile_size
    volatile = VolatileBuffer(7, backing=vanishing_backing)
    assert repr(volatile) == f"<VolatileBuffer 7 bytes, {vanishing_backing}, closed>"
    assert stats().volatile_size - before == PAGE
    assert (volatile.is_isolated, volatile.is_frozen, volatile.is_destroyed) == (True, False, False)
    volatile.freeze()
    with volatile.open():
        assert repr(volatile) == f"<VolatileBuffer 7 bytes, {vanishing_backing}, open, frozen>"
    volatile.destroy()
    volatile.destroy()
    assert repr(volatile) == f"<VolatileBuffer 7 bytes, {vanishing_backing}, destroyed, frozen>"
    assert stats().volatile_size == before
    with pytest.raises(TypeError):
        hash(volatile)
