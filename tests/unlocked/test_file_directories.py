"""FileBuffer: which directories it takes, in which spelling, and what it says of those that it does not."""

import errno
import os
import stat
from pathlib import Path

import pytest

import faultinject
import loopmounted
import needs
from children import forked, succeed
from loopmounted import as_root
from strongroom import FileBuffer, SystemCallError, UnsupportedError

pytestmark = needs.linux
NOBODY = 65534


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty one on a disk."""
    return loopmounted.on_disk(tmp_path)


def file_of(buffer: FileBuffer) -> str:
    """The path of a buffer's file, as the system lists it: bytes that are no UTF-8 escaped."""
    start, _size = loopmounted.pages_of(buffer)
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape", newline="\n") as listing:
        line = next(line for line in listing if line.startswith(f"{start:x}-"))
    return line.split(None, 5)[5].rstrip("\n")


class Like:
    """A path-like object of one's own."""

    def __init__(self, path: str | bytes) -> None:
        self.path = path

    def __fspath__(self) -> str | bytes:
        return self.path


def test_every_spelling_of_a_path(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """str, bytes, path-like, relative to where the process is at that moment, and a link to a directory."""
    inner = directory / "inner"
    inner.mkdir()
    (directory / "link").symlink_to(inner)
    monkeypatch.chdir(directory)
    spellings = (str(inner), os.fsencode(inner), inner, Like(str(inner)), Like(os.fsencode(inner)), "inner", "link")
    for spelling in (*spellings, "./inner//", "inner/../inner"):
        with FileBuffer(8, spelling) as buffer:  # type: ignore[arg-type]
            assert os.path.dirname(file_of(buffer)) == str(inner)
    buffer = FileBuffer(8, ".")
    monkeypatch.chdir("/")
    buffer.copy_from(b"wherever")
    assert os.path.dirname(file_of(buffer)) == str(directory)
    buffer.destroy()


def test_the_parent_of_a_link_is_its_targets(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``link/..`` is the directory that the system finds there, not what is left of the words."""
    (directory / "far" / "inner").mkdir(parents=True)
    (directory / "link").symlink_to(directory / "far" / "inner")
    monkeypatch.chdir(directory)
    for spelling in ("link/..", str(directory / "link" / "..")):
        with FileBuffer(8, spelling) as buffer:
            assert os.path.dirname(file_of(buffer)) == str(directory / "far")


@pytest.mark.parametrize(
    "name",
    [b"\xc3\xa4\xe2\x82\xac", b"\xff\xfe", b"a b", b"li\nne", b"q\x0b1-2 rw-p", b"q\x0by-z", b"x (deleted)", b"\\012"],
)
def test_any_name_a_directory_can_have(directory: Path, name: bytes) -> None:
    """Non-ASCII, no UTF-8, spaces, a newline, what looks like a line of the listing: the evidence finds it."""
    place = os.fsencode(directory) + b"/" + name
    os.mkdir(place)
    with FileBuffer(8, place) as buffer:
        assert buffer.guarantees()["NO_DUMP"].state == "verified"
        known = FileBuffer(8, directory).guarantees()["NEVER_WRITTEN"].source
        if name != b"\\012":  # the listing does not tell it from a newline
            assert buffer.guarantees()["NEVER_WRITTEN"].source == known
        assert os.listdir(place) == []


@pytest.mark.parametrize("wrong", ["", b"", "a\0b", b"\0", Like("")])
def test_what_is_no_path(wrong: object) -> None:
    """ValueError names the argument and shows the value."""
    with pytest.raises(ValueError, match="directory must be the path of a directory, not '"):
        FileBuffer(8, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, 3, ["/tmp"], b"".join])
def test_what_is_of_no_such_type(wrong: object) -> None:
    """TypeError names the argument and its type, before anything is made."""
    with pytest.raises(TypeError, match="directory must be a path, not "):
        FileBuffer(8, wrong)  # type: ignore[arg-type]


def test_the_other_arguments(directory: Path) -> None:
    """A size, a flag and a policy are checked as elsewhere."""
    for size in (0, -1, 1 << 70):
        with pytest.raises(ValueError, match="size must be from 1 to"):
            FileBuffer(size, directory)
    with pytest.raises(TypeError, match="size"):
        FileBuffer("8", directory)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="allow_memory"):
        FileBuffer(8, directory, allow_memory=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="policy must be a Policy or None"):
        FileBuffer(8, directory, policy="warn")  # type: ignore[arg-type]


def refused(directory: "str | Path", size: int = 8) -> SystemCallError:
    with pytest.raises(SystemCallError) as caught:
        FileBuffer(size, directory)
    return caught.value


def test_directories_that_are_none(directory: Path) -> None:
    """Missing, an ordinary file, too long a name: the call, the path (not all of a long one), what to do."""
    (directory / "file").touch()
    for name, code in (("no", errno.ENOENT), ("file", errno.ENOTDIR), ("l" * 5000, errno.ENAMETOOLONG)):
        error = refused(directory / name)
        assert (error.call, error.errno) == ("open(directory)", code)
        assert "exists and that this process may write to, not '/" in str(error)
        assert len(name) > 9 or f"'{directory}/{name}'" in str(error)
        assert len(str(error)) < 500
    error = refused("/proc")
    assert error.call in ("open(private file)", "open(O_TMPFILE)")  # who may not write there gets no further
    assert str(error).endswith("may write to, not '/proc'")


def test_a_working_directory_that_was_removed(directory: Path) -> None:
    """A path that begins there is an error of the library's; an absolute one works as ever."""

    def child() -> str:
        (directory / "gone").mkdir()
        os.chdir(directory / "gone")
        (directory / "gone").rmdir()
        FileBuffer(8, directory).destroy()
        return refused(".").call

    assert forked(child).startswith("open(")


@as_root
def test_without_permission(directory: Path) -> None:
    """As somebody who may not write there: the call, EACCES, and what to do."""
    if os.statvfs("/usr").f_flag & os.ST_RDONLY:
        pytest.skip("needs a /usr that root may write to: here it is mounted read-only")
    (directory / "closed").mkdir(mode=0o700)

    def child() -> str:
        os.setresuid(NOBODY, NOBODY, NOBODY)
        error = refused(directory / "closed" / ".")
        assert error.errno == errno.EACCES, error
        return str(refused("/usr"))

    told = forked(child)
    assert told.startswith("open(O_TMPFILE): Permission denied")
    assert told.endswith("may write to, not '/usr'")


@as_root
def test_a_read_only_file_system(tmp_path: Path) -> None:
    """EROFS, the path, what to do; nothing is left mapped."""
    with loopmounted.image(tmp_path, options="ro") as disk:
        error = refused(disk.at)
        assert (error.call, error.errno) == ("open(O_TMPFILE)", errno.EROFS)
        assert str(disk.at) in str(error)


@as_root
def test_a_full_one_and_one_that_is_too_small(tmp_path: Path) -> None:
    """ENOSPC with size and path. What cannot fit is refused before anything is written; all space comes back."""
    with loopmounted.image(tmp_path) as disk:
        free = os.statvfs(disk.at).f_bfree
        error = refused(disk.at, 1 << 34)
        assert (error.call, error.errno) == ("fstatvfs(private file)", errno.ENOSPC)
        assert f"17,179,869,184 bytes were to be written in '{disk.at}'" in str(error)
        assert disk.image is not None
        assert disk.image.stat().st_blocks * 512 < 4 << 20
        disk.fill()
        error = refused(disk.at)
        assert (error.call, error.errno) == ("pwrite(private file)", errno.ENOSPC)
        assert "the file system or the quota is full" in str(error)
        os.unlink(disk.at / "ballast")
        assert os.statvfs(disk.at).f_bfree == free
        FileBuffer(100_000, disk.at).destroy()
        assert disk.is_empty()


@as_root
def test_memory_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    """tmpfs, an overlay over one, a disk whose image lies in one: UnsupportedError says which, and how to take it."""
    with (
        loopmounted.memory(tmp_path) as memory,
        loopmounted.overlay(tmp_path, memory.at) as overlay,
        loopmounted.image(memory.at) as disk,
    ):
        for place in (memory, overlay, disk):
            with pytest.raises(UnsupportedError, match=r"lies in memory \(.*swap.*allow_memory=True") as caught:
                FileBuffer(8, place.at)
            assert repr(str(place.at)) in str(caught.value)
            with FileBuffer(8, place.at, allow_memory=True) as buffer:
                buffer.copy_from(b"anywhere")
                assert buffer == b"anywhere"
                assert "memory" in buffer.guarantees()["NEVER_WRITTEN"].source


def test_shared_memory_is_refused_without_root_too() -> None:
    """/dev/shm is a tmpfs wherever there is one."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("needs a tmpfs at /dev/shm")
    with pytest.raises(UnsupportedError, match=r"'/dev/shm' lies in memory \(tmpfs"):
        FileBuffer(8, "/dev/shm")


@as_root
@pytest.mark.parametrize("way", ["removed", "unmounted"])
def test_a_directory_that_goes_while_the_buffer_lives(tmp_path: Path, way: str) -> None:
    """Removed, or unmounted lazily: the buffer goes on, is burned, and claims no other place for its own."""
    with loopmounted.image(tmp_path) as disk:
        place = disk.at / "inner" if way == "removed" else disk.at
        place.mkdir(exist_ok=True)
        with FileBuffer(9_000, place) as buffer:
            buffer.copy_from(b"still here" * 900)
            assert "ext4 on /dev/loop" in buffer.guarantees()["NEVER_WRITTEN"].source
            if way == "removed":
                place.rmdir()
            else:  # the listing says /#12 from now on
                loopmounted.unmount(disk.at)
            loopmounted.evict(buffer)
            assert buffer == b"still here" * 900
            assert disk.count(b"still here") == 900
            assert "is not known" in buffer.guarantees()["NEVER_WRITTEN"].source
        assert disk.count(b"still here") == 0


#: Where open(2) knows no O_TMPFILE (FUSE, some network file systems) it answers EOPNOTSUPP.
NAMED = """
from faultinject import deny
deny("openat", errno.EOPNOTSUPP, arg_equals=(2, os.O_TMPFILE | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC))
"""
injects = pytest.mark.skipif(not faultinject.is_supported(), reason="fault injection needs x86_64 or aarch64")


@injects
def test_without_nameless_files(directory: Path) -> None:
    """The file had a name for an instant: nothing of it is left in the directory, and no descriptor."""
    out = succeed(f"""
        {NAMED.strip().replace(chr(10), chr(10) + " " * 8)}
        before = observed.descriptors()
        with FileBuffer(9000, {str(directory)!r}) as buffer:
            buffer.copy_from(b"n" * 9000)
            (path,) = [m.path for m in observed.mappings() if m.path.startswith({str(directory)!r})]
            print(os.path.basename(path)[:12], path[-10:], os.listdir({str(directory)!r}))
            print(observed.descriptors() == before, buffer == b"n" * 9000)
        """)
    assert out.split("\n")[:2] == [".strongroom-  (deleted) []", "True True"]


@injects
def test_a_name_that_cannot_be_removed(directory: Path) -> None:
    """As in an append-only directory: the error names the call, the place, and what stays: an empty, private file."""
    out = succeed(f"""
        {NAMED.strip().replace(chr(10), chr(10) + " " * 8)}
        deny("unlinkat", errno.EPERM)
        before = observed.descriptors()
        try:
            FileBuffer(9000, {str(directory)!r})
        except SystemCallError as error:
            print(error.call, observed.descriptors() == before)
            print(error)
        """)
    (left,) = directory.iterdir()
    assert left.name.startswith(".strongroom-")
    assert (left.stat().st_size, stat.S_IMODE(left.stat().st_mode)) == (0, 0o600)
    first, told = out.splitlines()
    assert first == "unlink(private file) True"
    assert f"An empty file .strongroom-* stays in '{directory}'" in told
