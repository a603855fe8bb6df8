"""Secret.as_file: a path for the length of a block, onto memory that is locked, cannot be changed, and is wiped."""

import copy
import gc
import mmap
import os
import pickle
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import needs
from children import Live, succeed
from observed import KEPT_OUT, PAGE, Mapping, Memory, descriptors, mapping_at, mappings
from samples import made_of
from strongroom import AccessError, DestroyedError, _native, stats

fcntl = pytest.importorskip("fcntl", reason="needs a Unix: Windows has no fcntl")

CONTENT = b"a key that some library wants to read from a file"
#: linux/fcntl.h, linux/memfd.h
GET_SEALS, SEALS = 1034, 0x1 | 0x2 | 0x4 | 0x10

pytestmark = needs.linux


def files_of(pid: int | str = "self") -> list[Mapping]:
    """Our own mappings of files that as_file made."""
    return [m for m in mappings(pid) if m.path.startswith("/memfd:strongroom-file")]


def number_of(path: str) -> int:
    return int(os.path.basename(path))


@pytest.mark.parametrize("size", [1, 100, PAGE - 1, PAGE, PAGE + 1, 70_000])
def test_a_file_of_exactly_its_size(size: int) -> None:
    """Readable under its path, in this thread and in another, as often as one likes; a str; read-only for its owner."""
    content = os.urandom(size)
    with made_of(content).as_file() as path:
        assert type(path) is str
        assert Path(path).read_bytes() == content
        read: list[bytes] = []
        thread = threading.Thread(target=lambda: read.append(Path(path).read_bytes()))
        thread.start()
        thread.join()
        assert read == [content]
        assert os.stat(path).st_size == size
        assert os.stat(path).st_mode & 0o7777 == 0o400


def test_its_pages_are_kept_in() -> None:
    """Locked, not dumped, not inherited, never collapsed; guard pages on both sides; and gone after the block."""
    assert files_of() == []
    with made_of(bytes(PAGE + 1)).as_file():
        (pages,) = files_of()
        assert pages.end - pages.start == 2 * PAGE
        assert pages.flags >= KEPT_OUT
        assert pages.permissions == "rw-s"
        for beside in (pages.start - 1, pages.end):
            guard = mapping_at(beside)
            assert guard is not None
            assert guard.permissions[:3] == "---"
    assert files_of() == []


def test_nobody_changes_it() -> None:
    """Seals refuse a write, another size, a hole, a writable mapping and fewer seals, for root too, who may open it."""
    with made_of(CONTENT).as_file() as path:
        file = number_of(path)
        assert fcntl.fcntl(file, GET_SEALS) & SEALS == SEALS
        for change in (
            lambda fd: os.write(fd, b"x"),
            lambda fd: os.ftruncate(fd, 1),
            lambda fd: os.ftruncate(fd, PAGE),
            lambda fd: os.posix_fallocate(fd, 0, 2 * PAGE),
            lambda fd: mmap.mmap(fd, len(CONTENT), mmap.MAP_SHARED, mmap.PROT_WRITE),
            lambda fd: fcntl.fcntl(fd, 1033, 0x8),
        ):
            with pytest.raises(PermissionError):
                change(file)
        try:
            again = os.open(path, os.O_RDWR)
        except PermissionError:
            assert os.geteuid() != 0
        else:
            with pytest.raises(PermissionError):
                os.write(again, b"x")
            with pytest.raises(PermissionError):
                os.ftruncate(again, 0)
            os.close(again)
        assert Path(path).read_bytes() == CONTENT


@pytest.mark.parametrize("end", ["normal", "exception", "generator", "dropped"])
def test_who_still_has_it_finds_zeros(end: str) -> None:
    """A descriptor and a mapping made meanwhile: zeros, whatever ended the block; the path is gone, nothing leaks."""
    gc.collect()  # what other tests left takes its descriptors with it now, not in the middle of this one
    before = descriptors()
    access = made_of(CONTENT).as_file()
    path = access.__enter__()
    file = os.open(path, os.O_RDONLY)
    seen = mmap.mmap(file, len(CONTENT), mmap.MAP_SHARED, mmap.PROT_READ)
    assert os.pread(file, 100, 0) == seen[:] == CONTENT
    if end == "normal":
        access.__exit__(None, None, None)
    elif end == "exception":
        access.__exit__(KeyError, KeyError("mine"), None)
    elif end == "dropped":
        del access
        gc.collect()
    else:

        def read() -> object:
            with made_of(CONTENT).as_file() as inner:
                yield inner

        access.__exit__(None, None, None)
        running = read()
        other: str = next(running)  # type: ignore[call-overload]
        os.dup2(number_of(other), file)
        os.set_inheritable(file, False)
        assert os.pread(file, 100, 0) == CONTENT
        running.close()  # type: ignore[attr-defined]
        path = other
    assert os.pread(file, 100, 0) == seen[:] == bytes(len(CONTENT))
    with pytest.raises(FileNotFoundError):
        Path(path).read_bytes()
    seen.close()
    os.close(file)
    assert descriptors() == before
    assert files_of() == []


def test_an_exception_passes() -> None:
    """What the block raises comes out as it was."""
    with pytest.raises(KeyError, match="mine"), made_of(CONTENT).as_file():
        raise KeyError("mine")


def test_one_access_is_good_once() -> None:
    """Entered again, meanwhile or afterwards, it refuses; nobody makes, copies or pickles one."""
    access = made_of(CONTENT).as_file()
    with access as path:
        with pytest.raises(AccessError, match="as_file"):
            access.__enter__()
        assert Path(path).read_bytes() == CONTENT
    with pytest.raises(AccessError):
        access.__enter__()
    access.__exit__(None, None, None)
    with pytest.raises(AccessError):
        _native.FileAccess.__new__(_native.FileAccess).__enter__()  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        _native.FileAccess()
    with pytest.raises(TypeError):
        copy.copy(access)
    with pytest.raises(TypeError):
        pickle.dumps(access)
    assert repr(access) == "<FileAccess ended>"


def test_two_at_a_time() -> None:
    """Of one secret and of two: files apart, and the first to end takes nothing from the other."""
    secret = made_of(CONTENT)
    with secret.as_file() as first:
        with secret.as_file() as second, made_of(b"other").as_file() as third:
            assert len({first, second, third}) == 3
            assert len(files_of()) == 3
            assert Path(second).read_bytes() == CONTENT
            assert Path(third).read_bytes() == b"other"
        assert Path(first).read_bytes() == CONTENT


def test_destroyed_in_mid_block() -> None:
    """The file stays until the block ends, as a room does; a destroyed secret gives none."""
    secret = made_of(CONTENT)
    late = secret.as_file()
    with secret.as_file() as path:
        secret.destroy()
        assert Path(path).read_bytes() == CONTENT
    with pytest.raises(DestroyedError):
        secret.as_file()
    with pytest.raises(DestroyedError):
        late.__enter__()
    assert files_of() == []


def test_whoever_closed_the_descriptor_loses_nothing_of_others() -> None:
    """Code that closes it, and a file that gets its number: the block's end wipes, and leaves that file open."""
    access = made_of(CONTENT).as_file()
    path = access.__enter__()
    kept = os.dup(number_of(path))
    with open(os.devnull, "rb") as null:
        theirs = os.dup2(null.fileno(), number_of(path))  # closes what has that number, and takes it
    access.__exit__(None, None, None)
    os.fstat(theirs)
    assert os.pread(kept, 100, 0) == bytes(len(CONTENT))
    os.close(theirs)
    os.close(kept)


def test_locked_memory_is_counted_and_comes_back() -> None:
    """stats() has the pages while the file is there."""
    with made_of(CONTENT).open():
        pass
    gc.collect()  # what other tests left is counted too, and would go in the middle of this one
    before = stats().locked_size
    with made_of(CONTENT).as_file():
        assert stats().locked_size == before + PAGE
        assert _native.holds_room()
    assert stats().locked_size == before
    assert not _native.holds_room()


def test_a_program_that_is_given_the_descriptor() -> None:
    """It reads the path with pass_fds; without it there is no such file there, unlike under the process's number."""
    with made_of(CONTENT).as_file() as path:
        read = [sys.executable, "-c", "import sys; print(open(sys.argv[1], 'rb').read())", path]
        passed = subprocess.run(read, pass_fds=[number_of(path)], capture_output=True, text=True, check=True)
        assert passed.stdout == f"{CONTENT!r}\n"
        alone = subprocess.run(read, capture_output=True, text=True, check=False)
        assert "FileNotFoundError" in alone.stderr


@pytest.mark.parametrize("size", [5, 3 * PAGE])
def test_at_the_lock_limit(size: int) -> None:
    """LockLimitError with the usual words, and nothing is left; with idle pages given up, or room again, it works."""
    out = succeed(f"""
        secret = Secret.build({size}, lambda view: None)
        pages = ({size} + 16 + 4095) // 4096  # of its room
        file = ({size} + 4095) // 4096
        with secret.open():
            pass
        full = 1 + pages + file  # and the key's
        children.limit_locks(4096 * full)
        with secret.as_file() as path:
            print(os.stat(path).st_size, observed.status_size("VmLck") <= 4096 * full)
        idle = LockedBuffer(16); idle.destroy()  # pages that nobody needs
        with secret.as_file() as path:
            print(os.stat(path).st_size)
        buffer = LockedBuffer(4096 * pages - 16, isolated=True)
        before = observed.descriptors(), observed.status_size("VmLck")
        for _ in range(20):
            try:
                secret.as_file().__enter__()
            except LockLimitError as error:
                told = error.requested == 4096 * file or error.requested == 4096 * pages, bool(error.remedies)
        print(*told, before[0] == observed.descriptors() and before[1] >= observed.status_size("VmLck"),
              any("strongroom-file" in m.path for m in observed.mappings()))
        buffer.destroy()
        with secret.as_file() as path:
            print(os.stat(path).st_size)
    """)
    assert out.split() == [str(size), "True", str(size), "True", "True", "True", "False", str(size)]


def test_waiting_at_the_lock_limit() -> None:
    """A policy that waits waits here too, and is rung when the memory comes back."""
    out = succeed("""
        configure(policy=Policy(wait_seconds=50))
        secret = Secret.random(5)
        with secret.open():
            pass
        children.limit_locks(3 * 4096)
        buffer = LockedBuffer(5000, isolated=True)  # what the file and the room need
        given_back = []
        def give_back():
            given_back.append(time.monotonic())
            buffer.destroy()
        children.once_a_thread_waits(give_back)
        with secret.as_file() as path:
            print(os.stat(path).st_size, time.monotonic() - given_back[0] < 40)
    """)
    assert out.split() == ["5", "True"]


def test_a_system_without_proc() -> None:
    """No path, no file: UnsupportedError that says what to do, nothing left, and the secret can still be opened."""
    out = succeed("""
        secret = Secret.random(5)
        with secret.open():
            pass
        os.chdir("/")
        before = observed.descriptors()
        try:
            os.chroot("/sys")  # where there is no proc; without chdir the way back stays open
        except PermissionError:
            children.skip("needs root: takes /proc away by chroot")
        try:
            secret.as_file().__enter__()
        except UnsupportedError as error:
            print("write_to()" in str(error), len(secret.reveal()))
        os.chroot(".")
        print(before == observed.descriptors(), any("strongroom-file" in m.path for m in observed.mappings()))
    """)
    assert out.split() == ["True", "5", "True", "False"]


def test_nothing_is_left_in_the_process() -> None:
    """A second process searches all of it: the file alone while it is open, nothing after; then a copy is found."""
    with Live("""
        secret = Secret.build(40, take)
        def pause():
            print("waits", flush=True)
            os.read(0, 1)
        with secret.as_file() as path:
            file = os.open(path, os.O_RDONLY)
            buffer = LockedBuffer(40)
            with buffer.open("rw") as view:
                os.preadv(file, [view], 0)
            buffer.destroy()
            pause()
        pause()
        kept = secret.reveal()
        pause()
    """) as child:
        mark = b"file-mark-1732050807-not-found-elsewhere"
        child.send(mark)
        child.line()
        with Memory(child.pid) as memory:
            assert memory.count(mark) == 1
            (pages,) = files_of(child.pid)
            assert memory.read(pages.start, len(mark)) == mark
            child.go()
            child.line()
            assert memory.count(mark) == 0
            assert files_of(child.pid) == []
            child.go()
            child.line()
            assert memory.count(mark) > 0


def test_what_ssl_takes_for_no_key() -> None:
    """A file that is no key is refused with ssl's own error, and is gone; tests/examples has one that is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ssl.SSLError), made_of(CONTENT).as_file() as path:
        context.load_cert_chain(path)
    assert files_of() == []
