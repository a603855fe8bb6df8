"""FileBuffer: what the system says of its pages and its file, and that forks get nothing of either."""

import gc
import os
import stat
from pathlib import Path

import pytest

import loopmounted
import needs
from children import forked, succeed
from observed import PAGE, Mapping, mappings
from strongroom import AccessError, DestroyedError, FileBuffer, ForkedError, Secret, purge, stats
from strongroom.exceptions import PurgedError

pytestmark = needs.linux


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty one on a disk."""
    return loopmounted.on_disk(tmp_path)


def of(directory: Path) -> list[Mapping]:
    """What this process has mapped of files in a directory."""
    return [mapping for mapping in mappings() if mapping.path.startswith(f"{directory}/")]


def descriptors_in(directory: Path) -> list[str]:
    """The files of a directory that this process has open."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # the one that listed them
            continue
    return [link for link in links if link.startswith(f"{directory}/")]


@pytest.mark.parametrize(("size", "pages"), [(1, 1), (4080, 1), (4081, 2), (100_000, 25)])
def test_the_pages_are_those_of_a_nameless_file_there(directory: Path, size: int, pages: int) -> None:
    """A shared mapping of a deleted file in that directory, closed, left out of dumps and children, between guards."""
    with FileBuffer(size, directory) as buffer:
        (one,) = of(directory)
        assert one.permissions == "---s"
        assert one.path.endswith(" (deleted)")
        assert one.flags >= {"dd", "dc", "sh"}
        assert one.end - one.start == pages * PAGE
        listing = mappings()
        neighbours = [m for m in listing if one.start in (m.start, m.end) or one.end in (m.start, m.end)]
        assert [m.permissions for m in neighbours] == ["---p", "---s", "---p"]
        assert os.listdir(directory) == []
        assert descriptors_in(directory) == []
        with buffer.open():
            assert [m.permissions for m in of(directory)] == ["r--s"]
        with buffer.open("rw") as view:
            assert view == bytes(size)
            assert [m.permissions for m in of(directory)] == ["rw-s"]
        assert [m.permissions for m in of(directory)] == ["---s"]
    assert of(directory) == []


def test_control_what_has_a_descriptor_and_a_name_is_seen(directory: Path) -> None:
    """The same looks at an ordinary file find both."""
    with open(directory / "ordinary", "wb"):
        assert len(descriptors_in(directory)) == len(os.listdir(directory)) == 1


def test_the_file_is_its_owners_alone(directory: Path) -> None:
    """While it lives: mode 0600 whatever the umask, no name, ours, and as large as its pages."""
    before = os.umask(0)
    try:
        with FileBuffer(10_000, directory):
            (one,) = of(directory)
            try:
                told = os.stat(f"/proc/self/map_files/{one.start:x}-{one.end:x}")
            except PermissionError:
                pytest.skip("needs root, or CAP_CHECKPOINT_RESTORE: follows /proc/self/map_files")
            assert stat.S_IMODE(told.st_mode) == 0o600
            assert (told.st_nlink, told.st_uid, told.st_size) == (0, os.geteuid(), 3 * PAGE)
            assert told.st_blocks * 512 >= 3 * PAGE  # the space is taken
    finally:
        os.umask(before)


def test_it_is_a_buffer_like_any_other(directory: Path) -> None:
    """Copying, moving, reading out, comparing, freezing, an exact length; it says what it is."""
    with FileBuffer(32, directory) as buffer, FileBuffer(32, directory) as other:
        assert (buffer.backing, buffer.intact, buffer.is_isolated, len(buffer)) == ("file", True, True, 32)
        assert repr(buffer) == "<FileBuffer 32 bytes, file, closed>"
        source = bytearray(b"nib" * 10)
        buffer.move_from(source, 2)
        assert source == bytes(30)
        assert buffer == bytes(2) + b"nib" * 10
        other.copy_from(buffer)
        assert other == buffer
        out = bytearray(32)
        other.read_into(out)
        assert out == bytes(2) + b"nib" * 10
        assert Secret.build(32, buffer.read_into) == buffer
        buffer.freeze()
        with pytest.raises(AccessError), buffer.open("rw"):
            pass
        buffer.melt()
        with pytest.raises(ValueError, match="32 bytes"):
            buffer.read_into(bytearray(31))
    with pytest.raises(DestroyedError), buffer.open():
        pass
    assert repr(buffer) == "<FileBuffer 32 bytes, file, destroyed>"


def test_the_evidence_is_the_systems(directory: Path) -> None:
    """What smaps bears out is verified; that it is not locked, and where it is written, is said."""
    with FileBuffer(10_000, directory) as buffer:
        found = buffer.guarantees()
        verified = {name for name, one in found.items() if one.state == "verified"}
        assert verified >= {"NO_DUMP", "NOT_IN_CHILD", "GUARDED", "CLOSED_AT_REST", "NO_MERGE"}
        for name in ("LOCKED", "UNREADABLE_BY_OTHERS", "NO_MIGRATION", "NEVER_WRITTEN"):
            assert found[name].state == "unavailable"
        assert "private file, which is burned at the end: " in found["NEVER_WRITTEN"].source
        with buffer.open():
            assert buffer.guarantees()["CLOSED_AT_REST"].state == "requested"


def test_stats_count_its_pages(directory: Path) -> None:
    """``file_size`` grows by whole pages, and by nothing once it ended; locked memory is not concerned."""
    gc.collect()  # what earlier tests left would else be given back at any moment
    before = stats()
    with FileBuffer(10_000, directory):
        now = stats()
        assert now.file_size - before.file_size == 3 * PAGE
        assert (now.locked_size, now.volatile_size) == (before.locked_size, before.volatile_size)
        assert now.isolated == before.isolated + 1
    assert stats().file_size == before.file_size


def test_a_purge_reaches_it(directory: Path) -> None:
    """It opens no more, and its end is as quiet as any."""

    def child() -> object:
        buffer = FileBuffer(32, directory)
        purge()
        with pytest.raises(PurgedError), buffer.open():
            pass
        buffer.destroy()
        return of(directory)

    assert forked(child) == "[]"


def test_a_child_has_nothing_of_it(directory: Path) -> None:
    """No page, no descriptor, ForkedError; and whatever the child does with it the parent's is as it was."""
    with FileBuffer(32, directory) as buffer:
        buffer.copy_from(b"m" * 32)

        def child() -> object:
            with pytest.raises(ForkedError), buffer.open():
                pass
            buffer.destroy()
            with FileBuffer(5, directory) as own, own.open("rw") as view:
                view[0] = 1
                return len(of(directory)), descriptors_in(directory)

        assert forked(child) == "(1, [])"
        assert buffer == b"m" * 32


#: The window is wide: a megabyte is written to each new file.
STORM = """
directory = {directory!r}
def lingering():
    "What a child inherited of a file in there: mappings that can be read, descriptors."
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink("/proc/self/fd/" + number))
        except FileNotFoundError:
            pass
    with open("/proc/self/maps") as listing:
        links += listing
    return sum(directory + '/' in link for link in links)
made, ended = 0, False
def work():
    global made
    while not ended:
        with FileBuffer(1 << 20, directory):
            made += 1
thread = threading.Thread(target=work)
thread.start()
found = []
while len(found) < {forks} or made <= 3:  # each waits for its disk when it is burned
    time.sleep(0.0005)
    {control}
    pid = os.fork()
    if pid == 0:
        os._exit(min(lingering(), 200))
    found.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
ended = True
thread.join()
print(set(found))
"""
QUIET = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}  # 3.12 and later: fork beside threads


def test_a_fork_while_one_is_being_made_inherits_nothing(directory: Path) -> None:
    """Children forked at any moment of another thread's making have no descriptor and no page of any such file."""
    code = STORM.format(directory=str(directory), forks=60, control="pass")
    assert succeed(code, env=QUIET).strip() == "{0}"


def test_control_what_children_inherit_is_seen(directory: Path) -> None:
    """A file that Python has open in there is found in the child."""
    control = "kept = open(directory + '/ordinary', 'w')"
    code = STORM.format(directory=str(directory), forks=3, control=control)
    assert succeed(code, env=QUIET).strip() == "{1}"
